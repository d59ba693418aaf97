"""Transforms and convolutions of signals on the sphere and on rotations, against e3nn and plain sums."""

# ruff: noqa: E741 - l is a degree

import math
from collections.abc import Iterator

import pytest
import torch
from e3nn import o3
from torch import Tensor

from symnets.data import latitudes
from symnets.nn import S2Convolution, S2Grid, SO3Activation, SO3BatchNorm, SO3Convolution, SO3Grid

EXACT = {"rtol": 0.0, "atol": 1e-12}
"""Tolerances for sums of some hundred products of numbers near 1."""


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Float64 by default, because e3nn computes generators in the default dtype."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def degrees_of(dim: int, columns: bool) -> int:
    """Highest l of a signal on rotations (with columns) or on the sphere with `dim` coefficients."""
    return next(l for l in range(100) if sum((2 * k + 1) ** (1 + columns) for k in range(l + 1)) == dim)


def turned(signal: Tensor, angles: tuple[Tensor, ...], columns: bool) -> Tensor:
    """Coefficients of a signal on the sphere, or on rotations, after a rotation."""
    blocks, start = [], 0
    for l in range(degrees_of(signal.shape[-1], columns) + 1):
        width = (2 * l + 1) ** (1 + columns)
        block = signal[..., start : start + width].unflatten(-1, (2 * l + 1, -1))
        blocks.append((o3.wigner_D(l, *angles) @ block).flatten(-2))
        start += width
    return torch.cat(blocks, dim=-1)


def size(lmax: int) -> int:
    """Number of coefficients on rotations."""
    return sum((2 * l + 1) ** 2 for l in range(lmax + 1))


@pytest.mark.parametrize("kind", ["equiangular", "gauss"])
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_quadrature_is_exact_up_to_its_degree(kind, n):
    """∫ x^k dx / 2 over [-1, 1] is 1 / (k + 1) for even k, and 0 for odd k."""
    angles, weights = latitudes(n, kind)
    degree = 2 * n - 1 if kind == "gauss" else n - 1
    means = torch.stack([(weights * angles.cos() ** k).sum() for k in range(degree + 1)])
    expected = torch.tensor([0.0 if k % 2 else 1 / (k + 1) for k in range(degree + 1)])
    torch.testing.assert_close(means, expected, **EXACT)


@pytest.mark.parametrize(
    ("lmax", "shape", "kind"),
    [
        (0, (1, 1), "gauss"),
        (4, (5, 9), "gauss"),
        (4, (10, 12), "equiangular"),
        (3, (7, 8), "equiangular"),
    ],
)
def test_harmonics_on_a_grid_are_those_of_e3nn(lmax, shape, kind):
    grid, coefficients = S2Grid(lmax, shape, kind=kind), torch.randn(2, 3, (lmax + 1) ** 2)
    harmonics = o3.spherical_harmonics(list(range(lmax + 1)), grid.points, True, normalization="component")
    signal = grid.to_grid(coefficients)
    torch.testing.assert_close(signal, torch.einsum("bci,xyi->bcxy", coefficients, harmonics), **EXACT)
    torch.testing.assert_close(grid.from_grid(signal), coefficients, **EXACT)


def test_the_sphere_agrees_with_the_grids_of_e3nn():
    lmax, shape = 5, (12, 11)
    grid, coefficients = S2Grid(lmax, shape), torch.randn(4, 36)
    to_grid, from_grid = (
        o3.ToS2Grid(lmax, shape, normalization="integral"),
        o3.FromS2Grid(shape, lmax, normalization="integral"),
    )
    # 'integral': the integral of Y² over the sphere is 1, not its mean.
    factor = math.sqrt(4 * math.pi)
    torch.testing.assert_close(grid.to_grid(coefficients), factor * to_grid(coefficients), **EXACT)
    signal = torch.randn(4, *shape)  # with degrees above lmax
    torch.testing.assert_close(grid.from_grid(signal), from_grid(signal) / factor, **EXACT)


def test_large_degrees_keep_their_digits():
    grid = S2Grid(128, (129, 257), kind="gauss")
    coefficients = torch.randn(1, 129**2)
    # Sums of 16,641 terms.
    torch.testing.assert_close(grid.from_grid(grid.to_grid(coefficients)), coefficients, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("lmax", "shape", "kind"),
    [
        (0, None, "gauss"),
        (3, None, "gauss"),
        (2, (6, 5, 8), "gauss"),
        (3, (8, 7, 9), "equiangular"),
    ],
)
def test_signals_on_rotations_are_sums_of_wigner_matrices(lmax, shape, kind):
    grid, coefficients = SO3Grid(lmax, shape, kind=kind), torch.randn(2, 3, size(lmax))
    n_alpha, n_beta, n_gamma = grid.shape
    alpha, gamma = (2 * math.pi * torch.arange(n) / n for n in (n_alpha, n_gamma))
    angles = torch.meshgrid(alpha, latitudes(n_beta, kind)[0], gamma, indexing="ij")
    matrices = torch.cat(
        [math.sqrt(2 * l + 1) * o3.wigner_D(l, *angles).flatten(-2) for l in range(lmax + 1)], dim=-1
    )
    signal = grid.to_grid(coefficients)
    torch.testing.assert_close(signal, torch.einsum("xyzi,bci->bcxyz", matrices, coefficients), **EXACT)
    torch.testing.assert_close(grid.from_grid(signal), coefficients, **EXACT)


def test_rotations_agree_with_the_grid_of_e3nn():
    theirs = o3.SO3Grid(3, 4)
    ours = SO3Grid(3, (theirs.res_alpha, theirs.res_beta, theirs.res_gamma), kind="equiangular")
    coefficients = torch.randn(5, size(3))
    factor = math.sqrt(size(3))
    torch.testing.assert_close(ours.to_grid(coefficients), factor * theirs.to_grid(coefficients), **EXACT)
    signal = torch.randn(5, *ours.shape)
    torch.testing.assert_close(ours.from_grid(signal), theirs.from_grid(signal) / factor, **EXACT)


@pytest.mark.parametrize("make", [lambda: S2Grid(3, (7, 7)), lambda: SO3Grid(2)])
def test_a_grid_moved_to_another_dtype_has_tables_of_that_precision(make):
    exact = make()
    torch.set_default_dtype(torch.float32)
    single = make()
    moved = make().double()
    for name, table in exact.named_buffers():
        assert torch.equal(moved.get_buffer(name), table)
    signal = torch.randn(2, *exact.shape)
    assert single.from_grid(signal).dtype == torch.float32
    torch.testing.assert_close(
        single.from_grid(signal), exact.from_grid(signal.double()).float(), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("make", [lambda: S2Grid(2, (5, 6)), lambda: SO3Grid(1)])
def test_gradients_and_vmap(make):
    grid = make()
    signal = torch.randn(2, *grid.shape, requires_grad=True)
    assert torch.autograd.gradcheck(grid.from_grid, signal)
    coefficients = grid.from_grid(signal).detach().requires_grad_()
    assert torch.autograd.gradcheck(grid.to_grid, coefficients)
    singles = torch.func.vmap(lambda c: grid.from_grid(grid.to_grid(c)))(coefficients)
    torch.testing.assert_close(singles, coefficients, **EXACT)
    assert torch.autograd.gradgradcheck(lambda c: grid.to_grid(c).square(), coefficients)
    there = torch.func.jacfwd(grid.to_grid)(coefficients.detach()[0])
    back = torch.func.jacrev(grid.from_grid)(signal.detach()[0])
    both = torch.tensordot(back, there, len(grid.shape))
    torch.testing.assert_close(both, torch.eye(len(both)), **EXACT)


def test_convolution_of_the_sphere_is_the_integral_with_turned_filters():
    """The integral over a filter turned by R is the sum of the signal at the turned points."""
    layer, lmax = S2Convolution(2, 3, 4, n_rings=2, n_alpha=5), 4
    torch.nn.init.normal_(layer.bias)
    f = torch.randn(1, 2, 25)
    beta = layer.max_beta * torch.tensor([0.0] + 5 * [0.5] + 5 * [1.0])
    alpha = 2 * math.pi * torch.tensor([0.0, *range(5), *range(5)]) / 5
    points = o3.angles_to_xyz(alpha, beta)
    angles = o3.rand_angles()
    at_points = o3.spherical_harmonics(
        list(range(lmax + 1)), points @ o3.angles_to_matrix(*angles).T, True, normalization="component"
    )
    expected = torch.einsum("iog,gc,nic->no", layer.weight, at_points, f) / math.sqrt(2 * 11) + layer.bias
    wigner = torch.cat([math.sqrt(2 * l + 1) * o3.wigner_D(l, *angles).flatten() for l in range(lmax + 1)])
    torch.testing.assert_close(layer(f) @ wigner, expected, **EXACT)


def test_convolution_on_rotations_is_the_integral_with_turned_filters():
    layer, lmax = SO3Convolution(2, 3, 2, n_rings=1, n_alpha=4, n_gamma=3), 2
    f = torch.randn(1, 2, size(lmax))
    beta = layer.max_beta * torch.tensor([0.0] + 4 * [1.0])
    alpha = 2 * math.pi * torch.tensor([0.0, *range(4)]) / 4
    angles = o3.rand_angles()
    expected = layer.bias.clone()
    for g, (turn, point) in enumerate((c, p) for c in range(3) for p in range(5)):
        place = o3.compose_angles(
            *angles, alpha[point], beta[point], 2 * math.pi * torch.tensor(turn) / 3 - alpha[point]
        )
        value = f[0] @ torch.cat(
            [math.sqrt(2 * l + 1) * o3.wigner_D(l, *place).flatten() for l in range(lmax + 1)]
        )
        expected = expected + value @ layer.weight[:, :, g] / math.sqrt(2 * 15)
    wigner = torch.cat([math.sqrt(2 * l + 1) * o3.wigner_D(l, *angles).flatten() for l in range(lmax + 1)])
    torch.testing.assert_close(layer(f)[0] @ wigner, expected, **EXACT)


@pytest.mark.parametrize("sphere", [True, False])
def test_convolutions_are_equivariant(sphere):
    layer = (S2Convolution if sphere else SO3Convolution)(2, 3, 6)
    f = torch.randn(5, 2, 49 if sphere else size(6))
    for _ in range(3):
        angles = o3.rand_angles()
        first, last = layer(turned(f, angles, not sphere)), turned(layer(f), angles, True)
        assert (first - last).norm() < 1e-11 * last.norm()


def test_batch_norm_gives_each_channel_mean_zero_and_variance_one():
    """Mean and variance over rotations and the batch; turned signals have the same ones."""
    layer, f = SO3BatchNorm(2, eps=0.0, momentum=1.0), 1 + torch.randn(5, 2, size(2))
    torch.testing.assert_close(layer(f)[..., 0].mean(0), torch.zeros(2), **EXACT)
    torch.testing.assert_close(layer(f).square().sum(-1).mean(0), torch.ones(2), **EXACT)
    angles = o3.rand_angles()
    torch.testing.assert_close(layer(turned(f, angles, True)), turned(layer(f), angles, True), **EXACT)
    trained = layer(f)
    torch.testing.assert_close(layer.eval()(f), trained, **EXACT)  # momentum 1: running averages are the last


def test_convolutions_state_their_irreps():
    layer = S2Convolution(2, 3, 2)
    assert layer(torch.randn(1, 2, 9)).numel() == layer.irreps_out.dim
    assert layer.irreps_in == o3.Irreps("2x0e+2x1o+2x2e")
    assert layer.irreps_out == SO3Convolution(3, 1, 2).irreps_in == o3.Irreps("3x0e+9x1o+15x2e")


def test_initial_weights_keep_the_mean_square():
    """Mean squares are averages over 4 signals and 64 random filters; their relative spread is about 0.2."""
    f = torch.randn(4, 8, 49)
    first = S2Convolution(8, 64, 6)
    g = first(f)
    h = SO3Convolution(64, 64, 6)(g)
    f, g, h = (float(x.detach().square().sum(-1).mean()) for x in (f, g, h))
    assert g == pytest.approx(f, rel=0.5)
    assert h == pytest.approx(g, rel=0.5)


def activation_error(shape: tuple[int, int, int], function=torch.nn.functional.silu) -> float:
    """Relative equivariance error of an activation for degrees up to 3, for one signal and one rotation."""
    generator = torch.Generator().manual_seed(0)
    f = torch.randn(1, 4, size(3), generator=generator)
    layer, angles = SO3Activation(3, 3, shape, function), tuple(torch.tensor([0.3, 1.1, 2.0]))
    first, last = layer(turned(f, angles, True)), turned(layer(f), angles, True)
    return float((first - last).norm() / last.norm())


def test_error_of_activations_falls_with_the_grid():
    """The grids resolve degrees up to 3, 6 and 12. A product of two signals has degrees up to 6, which
    quadrature to degree 3 + 6 handles exactly."""
    coarse, middle, fine = (activation_error((2 * b + 1, b + 1, 2 * b + 1)) for b in (3, 6, 12))
    assert coarse > 5 * middle
    assert middle > 5 * fine
    assert activation_error((10, 5, 10), torch.square) < 1e-11 < activation_error((7, 4, 7), torch.square)


def test_activations_commute_with_steps_about_the_polar_axis():
    layer, f = SO3Activation(3, 2, (8, 4, 7)), torch.randn(1, 2, size(3))
    angles = torch.tensor(2 * math.pi / 8), torch.tensor(0.0), torch.tensor(0.0)
    torch.testing.assert_close(layer(turned(f, angles, True)), turned(layer(f), angles, True), **EXACT)


def test_activation_to_degree_zero_is_the_mean_over_rotations():
    layer, f = SO3Activation(2, 0, (5, 3, 5), torch.square), torch.randn(3, 2, size(2))
    torch.testing.assert_close(layer(f)[..., 0], f.square().sum(-1), **EXACT)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: S2Grid(4, (8, 9)), "at least 9 latitudes .equiangular. and 9 longitudes for lmax=4, got 8"),
        (lambda: S2Grid(4, (5, 8), kind="gauss"), "at least 5 latitudes .gauss. and 9 longitudes"),
        (lambda: S2Grid(-1, (5, 8)), "lmax: expected at least 0, got -1"),
        (lambda: SO3Grid(2, (5, 3, 4)), r"at least \(5, 3, 5\) angles \(α, β, γ\) .* got \(5, 3, 4\)"),
        (lambda: SO3Grid(2, (5, 4, 5), kind="equiangular"), r"at least \(5, 5, 5\) .* got \(5, 4, 5\)"),
        (lambda: S2Convolution(1, 1, 2, max_beta=4.0), "max_beta: expected an angle between 0 and π, got 4"),
    ],
)
def test_invalid_sizes_are_an_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()
