"""Maximum-entropy fields: their scale, their folds, their symmetry."""

import itertools
import math
import warnings

import pytest
import torch

from symnets.diffeo import Expansion, FoldingWarning, SineField
from symnets.diffeo._field import one_to_one
from tests.diffeo.fields import seeded
from tests.naive.diffeo import displacement


def hot(field: SineField, n: int, temperature: float, seed: int = 0) -> Expansion:
    """Fields in float64 at any temperature, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FoldingWarning)
        return field.sample(n, temperature=temperature, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(20, 20), (23, 18), (18, 21, 19)])
@pytest.mark.parametrize("rule", ["disc", "half"])
def test_displacement_over_the_pixels(rule: str, shape: tuple[int, ...]) -> None:
    # δ² is the mean over the domain. Over n pixels, of which the first and the last do not move, sin² has
    # the mean (n - 1) / (2 n) instead of 1/2.
    cutoffs = range(2, 16) if len(shape) == 2 else range(2, 6)
    for cutoff in cutoffs:
        field = SineField(shape, cutoff=cutoff, rule=rule)  # pyright: ignore[reportArgumentType]
        n = 300 if len(shape) == 2 else 60
        u = field.sample(n, delta=0.2, generator=seeded(cutoff), dtype=torch.float64).displacement()
        each = u.square().sum(-1).flatten(1).mean(1)
        expected = 0.2**2 * math.prod((n - 1) / n for n in shape)
        error = float(each.std()) / math.sqrt(n)
        assert float(each.mean()) == pytest.approx(expected, abs=5 * error), cutoff


@pytest.mark.parametrize("cutoff", [2, 3, 7, 15])
def test_displacement_at_the_centre(cutoff: int) -> None:
    # There only odd waves contribute, each at its crest: 2 n² T Σ_odd 1 / (i² + j²).
    n, t = 21, 1e-4
    field = SineField((n, n), cutoff=cutoff)
    odd = itertools.product(range(1, cutoff + 1, 2), repeat=2)
    s_odd = sum(1 / (i * i + j * j) for i, j in odd if i * i + j * j <= cutoff**2)
    u = hot(field, 4000, t).at(torch.full((1, 2), (n - 1) / 2, dtype=torch.float64))
    squared = u.square().sum((1, 2))
    error = float(squared.std()) / math.sqrt(4000)
    assert float(squared.mean()) == pytest.approx(2 * n**2 * t * s_odd, abs=5 * error)


@pytest.mark.parametrize("shape", [(9, 9), (7, 10), (6, 7, 8)])
def test_displacement_by_loops(shape: tuple[int, ...]) -> None:
    diffeo = SineField(shape, cutoff=3, rule="half").sample(
        1, delta=0.1, generator=seeded(), dtype=torch.float64
    )
    u = diffeo.displacement()[0]
    for s in itertools.product(*[range(n) for n in shape]):
        expected = torch.tensor(displacement(diffeo.coefficients[0], s, shape), dtype=torch.float64)
        torch.testing.assert_close(u[s], expected, rtol=0, atol=1e-13)


def test_amplitudes_are_those_of_the_paper() -> None:
    # C / n has variance T / (i² + j²); 5 standard errors of a variance of 4000 draws are 0.11.
    field = SineField((28, 28), cutoff=3)
    c = hot(field, 4000, 0.003).coefficients / 28
    for i, j in field.modes.tolist():
        ratio = c[:, :, i - 1, j - 1].square().mean(0) * (i * i + j * j) / 0.003
        torch.testing.assert_close(ratio, torch.ones(2, dtype=torch.float64), rtol=0, atol=0.12)


@pytest.mark.parametrize(("shape", "cutoff"), [((28, 28), 3), ((12, 30), 4), ((9, 10, 12), 3)])
def test_energy_is_proportional_to_temperature(shape: tuple[int, ...], cutoff: int) -> None:
    # In the mean over the domain each mode has d 2^-d C² Σ_b (π k_b / e_b)²; over pixels sin² has the mean
    # (n - 1) / 2n and cos² (n + 1) / 2n.
    field, t = SineField(shape, cutoff=cutoff), 1e-3
    dim, expected = len(shape), 0.0
    length = math.prod(shape) ** (1 / dim)
    for k, wave in zip(field.modes.tolist(), field.waves.tolist(), strict=True):
        for b in range(dim):
            means = [(n + 1 if a == b else n - 1) / (2 * n) for a, n in enumerate(shape)]
            slope = math.pi * k[b] / (shape[b] - 1)
            expected += dim * length**2 * t / wave**2 * slope**2 * math.prod(means)
    each = hot(field, 1000, t).energy()
    assert float(each.mean()) == pytest.approx(expected, abs=5 * float(each.std()) / math.sqrt(1000))


def test_energy_of_a_mode_in_the_unit_square() -> None:
    # E ∫ ‖∇τ‖² = π²/2 T N: by equipartition, each of the N modes of two components has as much.
    field = SineField.in_box((1, 1), cutoff=5)
    gradient = field.sample(1000, temperature=1e-3, generator=seeded(), dtype=torch.float64).gradient(
        (torch.cartesian_prod(*[torch.arange(20, dtype=torch.float64)] * 2) + 0.5) / 20
    )
    each = gradient.square().sum((2, 3)).mean(1)
    expected = math.pi**2 / 2 * 1e-3 * field.n_modes
    assert float(each.mean()) == pytest.approx(expected, abs=5 * float(each.std()) / math.sqrt(1000))


def test_components_and_directions_are_alike_in_rectangles() -> None:
    # Slopes along either axis, and of either component, have the same variance in the middle of a long
    # image: waves are kept by their length and not by their number.
    u = hot(SineField((24, 72), cutoff=8), 3000, 1e-4)
    middle = torch.tensor([[11.5, x] for x in (20.5, 35.5, 50.5)], dtype=torch.float64)
    squares = u.gradient(middle).square().mean((0, 1))
    along_rows, along_columns = squares[0, 1] + squares[1, 1], squares[0, 0] + squares[1, 0]
    assert float(along_rows / along_columns) == pytest.approx(1, abs=0.25)
    own = u.at(middle).square().mean((0, 1))
    assert float(own[0] / own[1]) == pytest.approx(1, abs=0.1)


def test_mirrors_do_not_change_the_distribution() -> None:
    # The second moments at a point and its mirror images agree; so they do for exchanged axes of a square.
    u = hot(SineField((16, 16), cutoff=4), 6000, 1e-4)
    points = torch.tensor([[4.0, 6.0], [11.0, 6.0], [4.0, 9.0], [6.0, 4.0]], dtype=torch.float64)
    squares = u.at(points).square().sum(-1)
    spread = squares.std(0) / math.sqrt(6000)
    assert ((squares.mean(0) - squares.mean()).abs() < 4.5 * spread).all()


@pytest.mark.parametrize(("shape", "cutoff"), [((15, 15), 3), ((15, 20), 5)])
def test_the_middle_plane_of_a_volume_is_deformed_as_an_image(shape: tuple[int, int], cutoff: int) -> None:
    # The modes (1, i, j) of a volume of odd depth have sin = 1 on the plane in the middle.
    flat = SineField(shape, cutoff=cutoff).sample(2, delta=0.5, generator=seeded(), dtype=torch.float64)
    depth = 7
    coefficients = torch.zeros(2, 3, 2, *flat.basis.sizes, dtype=torch.float64)
    coefficients[:, 1:, 0] = flat.coefficients
    basis = type(flat.basis)((depth - 1.0, *flat.basis.extents), (2, *flat.basis.sizes))  # pyright: ignore
    solid = Expansion(basis, coefficients, (depth, *shape))
    middle = depth // 2
    torch.testing.assert_close(solid.displacement()[:, middle, ..., 1:], flat.displacement())
    assert (solid.displacement()[..., 0] == 0).all()
    torch.testing.assert_close(solid.det()[:, middle], flat.det())
    volume = torch.rand(2, 1, depth, *shape, dtype=torch.float64, generator=seeded())
    torch.testing.assert_close(solid.warp(volume)[:, :, middle], flat.warp(volume[:, :, middle]))
    assert torch.equal(solid.warp(volume)[:, :, 0], volume[:, :, 0])


# One-to-one fraction of 1000 fields at multiples of T2, rule "half" in the continuum, found once by a program
# that shares no code with this one.
ONE_TO_ONE = {
    2: {0.25: 0.973, 0.5: 0.819, 1: 0.487, 2: 0.175},
    3: {0.25: 0.998, 0.5: 0.960, 1: 0.673, 2: 0.225},
    5: {0.25: 1.0, 0.5: 0.990, 1: 0.713, 2: 0.114},
    10: {0.5: 1.0, 1: 0.880},
}


@pytest.mark.parametrize(
    ("cutoff", "multiple"), [(cutoff, multiple) for cutoff, row in ONE_TO_ONE.items() for multiple in row]
)
def test_folding_probability_agrees_with_an_independent_sample(cutoff: int, multiple: float) -> None:
    field = SineField.in_box((1, 1), cutoff=cutoff, rule="half")
    p = 1 - field.folding_probability(multiple * field.temperature_range()[1])
    expected = ONE_TO_ONE[cutoff][multiple]
    error = math.sqrt(max(expected * (1 - expected), 0.002) * (1 / 400 + 1 / 1000))
    assert p == pytest.approx(expected, abs=4 * error)


def test_folds_in_pixels_and_in_boxes() -> None:
    # With pixels 1 / (n - 1) apart and displacements in 1 / n, slopes in a small image are steeper.
    box = SineField.in_box((1, 1), cutoff=3)
    small, large = SineField((8, 8), cutoff=3), SineField((200, 200), cutoff=3)
    t = box.temperature_range()[1]
    assert small.folding_probability(t * (7 / 8) ** 2) == pytest.approx(box.folding_probability(t), abs=0.01)
    assert large.folding_probability(t) == pytest.approx(box.folding_probability(t), abs=0.02)
    assert small.folding_probability(t) > large.folding_probability(t) + 0.05


def test_folding_probability_takes_either_scale() -> None:
    field = SineField((28, 28), cutoff=3)
    t = field.temperature(2.0)
    assert field.folding_probability(t) == field.folding_probability(delta=field.typical_displacement(t))
    assert field.folding_probability(0.0) == 0


def test_above_the_range_a_warning_names_the_probability() -> None:
    field = SineField((28, 28), cutoff=3)
    highest = field.temperature_range()[1]
    field.sample(1, temperature=highest, generator=seeded())
    with pytest.warns(FoldingWarning, match=r"T = 0\.0261 is above .* T2 = 0\.013: .* probability 0\.51"):
        field.sample(1, temperature=2 * highest, generator=seeded())
    field.sample(1, temperature=2 * highest, generator=seeded(), bijective=True)


def test_temperature_and_delta_set_the_same_scale() -> None:
    field = SineField((20, 24), cutoff=3)
    a = field.sample(2, delta=1.0, generator=seeded(), dtype=torch.float64)
    b = field.sample(2, temperature=field.temperature(1.0), generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(a.coefficients, b.coefficients, rtol=1e-14, atol=0)


def test_only_modes_up_to_the_cutoff_have_coefficients() -> None:
    field = SineField((20, 20), cutoff=5)
    c = field.sample(1, delta=1.0, generator=seeded()).coefficients[0, 0]
    kept = torch.zeros_like(c, dtype=torch.bool)
    kept[tuple((field.modes - 1).unbind(1))] = True
    assert torch.equal(c != 0, kept)


def test_a_field_of_a_box_agrees_with_that_of_an_image() -> None:
    field = SineField.in_box((3.0, 5.0), cutoff=4)
    diffeo = field.sample(200, delta=0.1, generator=seeded(), bijective=True, dtype=torch.float64)
    points = torch.rand(300, 2, generator=seeded(), dtype=torch.float64) * torch.tensor([3.0, 5.0])
    each = diffeo.at(points).square().sum(-1).mean(1)
    error = float(each.std()) / math.sqrt(200)
    assert float(each.mean()) == pytest.approx(0.01, abs=5 * error + 5e-4)
    assert diffeo.acceptance is not None
    with pytest.raises(ValueError, match="no grid of pixels, only points"):
        diffeo.displacement()
    assert repr(field) == "SineField.in_box((3.0, 5.0), cutoff=4, rule='disc')"


def test_bad_input() -> None:
    field = SineField((8, 8), cutoff=3)
    with pytest.raises(ValueError, match="exactly one of the two"):
        field.sample(1, temperature=1e-3, delta=1.0, generator=None)
    with pytest.raises(ValueError, match="temperature: expected numbers >= 0, got -1"):
        field.sample(1, temperature=-1.0, generator=None)
    with pytest.raises(ValueError, match="cutoff: expected a positive number, got 0"):
        SineField((8, 8), cutoff=0)
    with pytest.raises(ValueError, match="7 half periods along an axis of 8 pixels, which resolves 6"):
        SineField((8, 8), cutoff=7.1)
    with pytest.raises(ValueError, match=r"2 or 3 axes of at least 3 pixels, got \(8, 2\)"):
        SineField((8, 2), cutoff=2)
    with pytest.raises(ValueError, match=r"integer numbers of pixels, got \(28.7, 28\)"):
        SineField((28.7, 28), cutoff=2)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="lengths: expected 2 or 3"):
        SineField.in_box((1.0,), cutoff=2)


def test_folds_of_a_box_are_detected_without_pixels() -> None:
    field = SineField.in_box((3.0, 5.0), cutoff=4)
    kept = field.sample(20, delta=0.1, generator=seeded(), bijective=True, dtype=torch.float64)
    assert kept.is_bijective().all()
    assert kept.inverse().is_bijective().all()
    assert not hot(field, 20, 4 * field.temperature_range()[1]).is_bijective().all()
    # The same waves on pixels one unit apart.
    pixels = SineField((31, 51), cutoff=4)
    box = SineField.in_box((30.0, 50.0), cutoff=4)
    assert pixels.basis == box.basis
    same = pixels.sample(3, delta=1.0, generator=seeded(), dtype=torch.float64)
    points_only = Expansion(box.basis, same.coefficients, None)
    # Means over pixels and over other points of a smooth function.
    torch.testing.assert_close(points_only.energy(), same.energy(), rtol=0.1, atol=0)
    torch.testing.assert_close(points_only.det().mean((1, 2)), same.det().mean((1, 2)), rtol=0.02, atol=0)
    assert points_only.compose(points_only).det(2).shape == points_only.det(2).shape


def test_small_cutoffs_that_fold_emit_a_warning() -> None:
    field = SineField((28, 28), cutoff=1, rule="half")
    field.sample(1, delta=0.5, generator=seeded())
    with pytest.warns(FoldingWarning, match=r"a field folds with probability 0\.\d+"):
        field.sample(1, delta=15.0, generator=seeded())


def test_a_folding_warning_points_to_the_calling_line() -> None:
    field = SineField((28, 28), cutoff=3)
    with pytest.warns(FoldingWarning) as emitted:
        field.sample(1, delta=6.0, generator=seeded())
    assert emitted[0].filename == __file__


def test_rejection_sampling_stops_when_all_fields_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    field = SineField.in_box((5.0, 6.0, 7.0), cutoff=4)
    sampled = []
    draw = SineField._draw
    monkeypatch.setattr(SineField, "_draw", lambda *args: (sampled.append(len(args[1])), draw(*args))[1])
    with pytest.raises(
        ValueError, match="no one-to-one field was found for 1 of 1; the last 200 samples all fold"
    ):
        field.sample(1, delta=5.0, generator=seeded(), bijective=True)
    assert sum(sampled) == 200


def test_the_coarse_check_for_folds_changes_no_result() -> None:
    for shape, multiple in (((40, 61), 2.0), ((17, 20, 23), 1.0)):
        field = SineField(shape, cutoff=3)
        diffeo = hot(field, 40, multiple * field.temperature_range()[1])
        assert torch.equal(one_to_one(diffeo, numbers=10**5), diffeo.is_bijective())
        assert 0 < one_to_one(diffeo).sum() < 40
