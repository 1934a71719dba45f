"""The architecture as a value."""

import numpy as np
import pytest

from AEROBI.architecture import (
    ENAS_1,
    OPERATIONS,
    SHIPPED,
    Architecture,
    ArchitectureError,
    reduction_layers,
)


def test_enas_1_reads_as_in_the_paper():
    enas_1 = Architecture.parse(ENAS_1, 7)
    assert enas_1.ops == (5, 5, 0, 5, 4, 3, 1)
    assert enas_1.skips == ((), (1,), (1, 1), (1, 0, 0), (0, 1, 0, 1), (0, 0, 0, 1, 0),
                            (1, 0, 0, 1, 1, 0))


@pytest.mark.parametrize("text", [ENAS_1, SHIPPED])
def test_written_form_round_trip(text):
    assert str(Architecture.parse(text, 7)) == text
    messy = "\n\t " + text.replace(" ", " \r\n ")
    assert Architecture.parse(messy, 7) == Architecture.parse(text, 7)


@pytest.mark.parametrize("layers", [1, 2, 7, 64])
def test_text_tells_its_number_of_layers(layers):
    architecture = Architecture.random(layers, np.random.default_rng(layers))
    assert Architecture.parse(str(architecture)) == architecture


@pytest.mark.parametrize("text, message", [
    ("", "no numbers"), ("5 5", "2 numbers; N layers have .* as 3 for 2"),
    ("5 5 1 0", "4 numbers; .* as 6 for 3"), ("5 5 x", "layer 1: 'x' is not a number")])
def test_text_of_no_number_of_layers(text, message):
    with pytest.raises(ArchitectureError, match=message):
        Architecture.parse(text)


def test_operations_say_what_they_are():
    for operation in OPERATIONS:
        assert operation.is_pooling == ("pooling" in operation.name)
        assert operation.is_separable == ("separable" in operation.name)
        assert operation.name == (operation.kind if operation.is_pooling else
                                  f"{operation.kind}_{operation.size}x{operation.size}")


@pytest.mark.parametrize("text, parts", [
    ("5 5 1 0 1", ("layer 2", "5 numbers", "6")),
    ("5 5 1 0 1 1 1", ("7 numbers", "1 too many")),
    ("6 5 1 0 1 1", ("layer 0", "operation 6", "0..5")),
    ("5 5 2 0 1 1", ("layer 1", "bit 0 is 2")),
    ("5 5 1 x 1 1", ("layer 2", "'x'")),
    ("5 5 1 -1 1 1", ("layer 2", "'-1'")),
    ("5 5 1 1.0 1 1", ("layer 2", "not a number")),
    ("5 5 1 1_0 1 1", ("layer 2", "not a number")),
    ("5 5 1 \u0661 1 1", ("layer 2", "not a number")),
    ("5 5 1 " + "9" * 5000 + " 1 1", ("layer 2",)),
    ("", ("0 numbers", "layer 0")),
])
def test_errors_say_which_layer(text, parts):
    with pytest.raises(ArchitectureError) as error:
        Architecture.parse(text, 3)
    assert all(part in str(error.value) for part in parts), error.value
    assert len(str(error.value)) < 300


def test_random_is_a_function_of_the_generator():
    draw = [Architecture.random(7, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]
    many = [Architecture.random(7, np.random.default_rng(seed), 4, 0.2) for seed in range(200)]
    assert {op for architecture in many for op in architecture.ops} == {0, 1, 2, 3}
    assert abs(np.mean([architecture.skip_rate for architecture in many]) - 0.2) < 0.03


@pytest.mark.parametrize("layers, expected", [
    (1, ()), (2, ()), (3, (0, 1)), (7, (1, 3)), (12, (3, 7))])
def test_reduction_layers(layers, expected):
    assert reduction_layers(layers) == expected
