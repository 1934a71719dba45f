"""First values of weights."""

import numpy as np
import pytest

from AEROBI.common_ops import he_normal, variable


@pytest.mark.parametrize("shape", [[3, 3, 64, 64], [1, 1, 256, 128], [600, 80]])
def test_he_normal_is_cut_at_two_deviations_and_not_corrected_for_it(session, shape):
    w = variable("w", shape, he_normal(0))
    values = session().run(w)
    deviation = np.sqrt(2 / np.prod(shape[:-1]))
    assert np.abs(values).max() == pytest.approx(2 * deviation, rel=0.01)
    assert values.std() == pytest.approx(0.8796 * deviation, rel=0.02)
    assert abs(values.mean()) < 0.02 * deviation
