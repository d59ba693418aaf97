"""What docs/how-to/stability.md says of the logarithmic formula."""

import pytest

from symnets.diffeo import SineField


def test_one_pixel_of_the_logarithmic_formula_is_084_pixels() -> None:
    field = SineField((32, 32), cutoff=3, rule="half")
    assert field.typical_displacement(field.temperature(1, exact=False)) == pytest.approx(0.84, abs=0.005)
