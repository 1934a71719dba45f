"""Two cells as a value: read, checked, drawn, written; and the space that they are of."""

import numpy as np
import pytest

from AEROBI.architecture import Architecture, ArchitectureError
from AEROBI.micro.cells import CELL_OPERATIONS, Cell, MicroArchitecture, flat_length
from AEROBI.search_space.spaces import MacroSpace, MicroSpace, parse_any, space_of_values

TEXT = "0 4 1 0 2 1 0 2 1 3 1 3 2 0 1 4"
NORMAL = Cell(((0, 1), (2, 0)), ((4, 0), (1, 2)))
REDUCTION = Cell(((1, 1), (2, 1)), ((3, 3), (0, 4)))


def test_the_written_form_is_node_by_node():
    read = MicroArchitecture.parse(TEXT, 2)
    assert read == MicroArchitecture(NORMAL, REDUCTION) == MicroArchitecture.parse(TEXT)
    assert str(read) == TEXT
    assert read.rows() == [(0, 4, 1, 0, 2, 1, 0, 2), (1, 3, 1, 3, 2, 0, 1, 4)]
    assert read.ops == (4, 0, 1, 2, 3, 3, 0, 4)
    assert hash(read) == hash(MicroArchitecture.from_numbers(np.array(read.numbers()), 2))


def test_what_nobody_uses_is_the_output():
    assert NORMAL.unused == (3,)
    assert REDUCTION.unused == (0, 3)
    assert Cell(((0, 0), (0, 0)), ((0, 0), (0, 0))).unused == (1, 2, 3)


def test_operations_are_those_of_the_paper():
    assert [operation.name for operation in CELL_OPERATIONS] == [
        "separable_conv_3x3", "separable_conv_5x5", "average_pooling", "max_pooling", "identity"]
    assert not CELL_OPERATIONS[4].is_pooling and not CELL_OPERATIONS[4].is_separable


@pytest.mark.parametrize("text, num_nodes, parts", [
    (TEXT.replace("0 4", "2 4", 1), 2, ("normal cell, node 0", "input 2", "0..1")),
    (TEXT[:-3] + "3 4", 2, ("reduction cell, node 1", "input 3", "0..2")),
    ("0 4 1 0 2 1 0 2 1 3 1 5 2 0 1 4", 2, ("reduction cell, node 0", "operation 5", "0..4")),
    ("0 4 1 0 2 1 0 2 1 3 1 3 2 0 1 4 0", 2, ("two cells of 2 nodes: 17 numbers", "1 too many")),
    ("0 4 1 0 2 1 0 2 1 3", 2, ("10 numbers where 16", "node 0 of the reduction cell")),
    ("0 4 1 0 2 +1 0 2 1 3 1 3 2 0 1 4", 2, ("normal cell, node 1", "'+1' is not a number")),
    ("", None, ("no numbers",)),
    ("0 4 1 0 2 1", None, ("6 numbers", "as 8 for 1")),
])
def test_errors_name_cell_and_node(text, num_nodes, parts):
    with pytest.raises(ArchitectureError) as error:
        MicroArchitecture.parse(text, num_nodes)
    assert all(part in str(error.value) for part in parts), error.value


def test_random_draws_are_valid_and_reach_everything():
    rng, space = np.random.default_rng(0), MicroSpace(5)
    drawn = [space.random(rng) for _ in range(300)]
    assert all(space.parse(str(architecture)) == architecture for architecture in drawn)
    columns = np.array([architecture.numbers() for architecture in drawn])
    assert columns.shape[1] == space.decisions == flat_length(5)
    largest = [2 + node - 1 if kind == 0 else 4
               for _ in range(2) for node in range(5) for _ in range(2) for kind in range(2)]
    np.testing.assert_array_equal(columns.max(0), largest)
    assert max(MicroArchitecture.random(5, rng, 2).ops) == 1


def test_text_of_any_size_is_told_by_its_length():
    assert parse_any(TEXT) == MicroArchitecture(NORMAL, REDUCTION)
    assert isinstance(parse_any("0 1 1"), Architecture)
    rng = np.random.default_rng(0)
    both = MicroArchitecture.random(15, rng)  # 120 numbers, as 15 layers have
    assert parse_any(str(both), "micro") == both
    assert isinstance(parse_any(str(Architecture.random(15, rng))), Architecture)
    for wrong in ("", "0 1", "0 1 2 3 4 5 6 7 8"):
        with pytest.raises(ArchitectureError):
            parse_any(wrong)


def test_the_space_of_flags():
    values = {"search_for": "micro", "child_num_layers": 3, "child_num_cells": 2}
    assert space_of_values(values) == MicroSpace(2)
    assert space_of_values({**values, "search_for": None}) == MacroSpace(3)
    assert "--child_num_cells=2" in MicroSpace(2).flags
