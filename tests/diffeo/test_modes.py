"""Modes up to a cutoff, and their displacement."""

import math

import pytest
import torch

from symnets.diffeo import temperature, temperature_range, typical_displacement
from symnets.diffeo._temperature import kept_modes, mode_sum

# Cutoff, modes kept and S(c) of the two rules: counted by hand for small c, summed apart for large.
TABLE = [
    (2, 1, 0.5, 3, 0.9),
    (3, 4, 1.025, 6, 1.225),
    (5, 15, 1.732049, 19, 1.877937),
    (10, 69, 2.719986, 77, 2.796235),
    (15, 162, 3.321842, 172, 3.365176),
    (30, 675, 4.374872, 703, 4.405479),
]


@pytest.mark.parametrize(("cutoff", "n_disc", "s_disc", "n_half", "s_half"), TABLE)
def test_modes_and_their_sum(cutoff: int, n_disc: int, s_disc: float, n_half: int, s_half: float) -> None:
    for rule, n, s in (("disc", n_disc, s_disc), ("half", n_half, s_half)):
        assert len(kept_modes((28.0, 28.0), cutoff, rule)[0]) == n
        assert mode_sum((28.0, 28.0), cutoff, rule) == pytest.approx(s, abs=1e-6)


def test_sum_by_loops() -> None:
    for cutoff in range(2, 31):
        pairs = [(i, j) for i in range(1, 40) for j in range(1, 40)]
        disc = sum(1 / (i * i + j * j) for i, j in pairs if i * i + j * j <= cutoff**2)
        half = sum(1 / (i * i + j * j) for i, j in pairs if math.hypot(i, j) < cutoff + 0.5)
        assert mode_sum((9, 9), cutoff, "disc") == pytest.approx(disc, rel=1e-12)
        assert mode_sum((9, 9), cutoff, "half") == pytest.approx(half, rel=1e-12)


def test_a_mode_on_the_cutoff_is_kept() -> None:
    # 3² + 4² = 5², also where rounding has put the wave number slightly above.
    for n in (7.0, 28.0, 0.1, 1 / 3):
        modes = kept_modes((n, n), 5, "disc")[0].tolist()
        assert [3, 4] in modes
        assert [4, 3] in modes


def test_modes_of_rectangles_scale_with_the_area() -> None:
    modes, waves = kept_modes((8.0, 32.0), 6)
    lengths = torch.tensor([8.0, 32.0], dtype=torch.float64)
    # The wave number is the same in any direction: its square is the eigenvalue of -∇² over that of area.
    expected = 16 * (modes / lengths).square().sum(1).sqrt()
    torch.testing.assert_close(waves, expected)
    assert modes[:, 1].max() > 2 * modes[:, 0].max()  # more half waves along the longer side


@pytest.mark.parametrize("rule", ["disc", "half"])
@pytest.mark.parametrize("shape", [(28, 28), (20, 35), (9, 12, 15)])
def test_temperature_and_displacement_are_inverse(rule: str, shape: tuple[int, ...]) -> None:
    found = typical_displacement(temperature(1.3, shape, 4, rule=rule), shape, 4, rule=rule)
    assert found == pytest.approx(1.3, rel=1e-14)


def test_exact_formula_in_a_square() -> None:
    assert typical_displacement(0.01, (28, 28), 3) ** 2 == pytest.approx(0.5 * 28**2 * 0.01 * 1.025)


def test_published_formulas() -> None:
    # arXiv:2105.02468: δ = n/2 sqrt(π T ln c); T2 = 4 / (π³ c² ln c), at which it is n / (π c).
    n, c, t = 28, 5, 0.004
    delta = typical_displacement(t, (n, n), c, exact=False)
    assert delta == pytest.approx(n / 2 * math.sqrt(math.pi * t * math.log(c)))
    assert temperature(delta, (n, n), c, exact=False) == pytest.approx(t)
    lowest, highest = temperature_range((n, n), c, exact=False)
    assert lowest == pytest.approx(1 / (math.pi * n**2 * math.log(c)))
    assert highest == pytest.approx(4 / (math.pi**3 * c**2 * math.log(c)))
    assert typical_displacement(highest, (n, n), c, exact=False) == pytest.approx(n / (math.pi * c))
    assert highest / lowest == pytest.approx((2 * n / (math.pi * c)) ** 2)


def test_logarithm_is_the_leading_term_only() -> None:
    ratio = [mode_sum((9, 9), c) / (math.pi / 2 * math.log(c)) for c in (3, 30, 300)]
    assert ratio == sorted(ratio)
    assert ratio[0] == pytest.approx(0.594, abs=5e-4)
    assert 0.88 < ratio[2] < 1
    # What the docstring of `typical_displacement` says: too large by 10 to 48 %, and by 10 to 19 %.
    for rule, least, most in (("disc", 1.105, 1.476), ("half", 1.100, 1.187)):
        sums = [mode_sum((9, 9), c, rule) for c in range(2, 31)]  # pyright: ignore[reportArgumentType]
        excess = [math.sqrt(math.pi / 2 * math.log(c) / s) for c, s in zip(range(2, 31), sums, strict=True)]
        assert (min(excess), max(excess)) == pytest.approx((least, most), abs=1e-3)
    found = typical_displacement(1, (28, 28), 3, rule="half") / typical_displacement(
        1, (28, 28), 3, exact=False
    )
    assert found == pytest.approx(0.843, abs=5e-4)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="cutoff: expected a positive number, got 0"):
        kept_modes((8.0, 8.0), 0)
    with pytest.raises(ValueError, match=r"keeps no mode .* smallest wave number is 1.414"):
        kept_modes((8.0, 8.0), 1)
    with pytest.raises(ValueError, match="rule: expected one of"):
        kept_modes((8.0, 8.0), 3, "square")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="temperature: expected a number >= 0, got -1"):
        typical_displacement(-1, (8, 8), 3)
    with pytest.raises(ValueError, match="delta: expected a number of pixels >= 0, got nan"):
        temperature(math.nan, (8, 8), 3)
    with pytest.raises(ValueError, match="the logarithmic formula holds for squares"):
        temperature(1, (8, 9), 3, exact=False)
    for shape in ((28,), (9, 9, 9, 9)):
        for function in (temperature, typical_displacement):
            with pytest.raises(ValueError, match="shape: expected 2 or 3 axes"):
                function(1, shape, 3)
    with pytest.raises(ValueError, match="cutoff: expected more than 1 for a formula with ln"):
        temperature_range((8, 8), 1, rule="half")
