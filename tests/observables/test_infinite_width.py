"""Kernels of infinite width against closed forms, quadrature and wide nets; averages over groups."""

import math

import pytest
import torch
from torch import Tensor

from symnets.models import Dense
from symnets.observables import group_average, infinite_width, tangent_kernel
from symnets.observables._infinite_width import quadrature

COSINES = torch.tensor([1.0, 0.5, 0.0, -0.5, -1.0], dtype=torch.float64)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def circle(cosines: Tensor) -> Tensor:
    """Points |x|² = d = 2 at these cosines with the first axis."""
    return math.sqrt(2) * torch.stack([cosines, (1 - cosines**2).sqrt()], 1)


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(3, (4, 1.737845, 1.060388, 0.742249, 0.685709)), (1, (2, 0.942331, 0.318310, -0.057669, 0))],
)
def test_known_values_of_relu(depth: int, expected: tuple[float, ...]) -> None:
    x = circle(COSINES)
    found = infinite_width(depth, "relu", x[:1], x).ntk[0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)


def test_one_hidden_layer_of_relu_is_the_arc_cosine_kernel() -> None:
    found = infinite_width(1, "relu", circle(COSINES)).nngp[0]
    angle = COSINES.arccos()
    expected = (angle.sin() + (math.pi - angle) * COSINES) / math.pi
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ["relu", "erf", "tanh", "linear"])
def test_symmetric_half_equals_the_cross_kernel(activation: str, bias: bool) -> None:
    x = draw(30, 4)
    x /= x.norm(dim=1, keepdim=True)
    half, cross = infinite_width(2, activation, x, bias=bias), infinite_width(2, activation, x, x, bias=bias)
    # Away from the diagonal equal; on it a cosine rounded below 1 costs ReLU 1e-8.
    torch.testing.assert_close(half.ntk, cross.ntk, rtol=0, atol=1e-6)
    assert torch.equal(half.ntk, half.ntk.T)
    if activation == "linear":
        torch.testing.assert_close(half.ntk, 3 * x @ x.T / 4 + (3 if bias else 0))


def test_blocks_of_rows_do_not_change_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    x, other = draw(11, 3), draw(7, 3, seed=1)
    for activation in ("relu", "swish"):
        whole, cross = infinite_width(2, activation, x).ntk, infinite_width(2, activation, x, other).ntk
        monkeypatch.setattr("symnets.observables._infinite_width._BLOCK", 30)
        torch.testing.assert_close(infinite_width(2, activation, x).ntk, whole, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(infinite_width(2, activation, x, other).ntk, cross, rtol=1e-12, atol=1e-12)
        monkeypatch.undo()


@pytest.mark.parametrize(("activation", "accuracy"), [("erf", 1e-11), ("linear", 1e-11), ("relu", 0.03)])
def test_quadrature_agrees_with_closed_forms(
    activation: str, accuracy: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the kink of ReLU the coefficients of φ' fall as k^(-3/4): the sum up to 256 is slow near c = ±1."""
    x = draw(12, 4, seed=3)
    x[1] = -x[0]
    exact = infinite_width(2, activation, x, bias=True)
    monkeypatch.setattr("symnets.observables._infinite_width._layer", quadrature)
    found = infinite_width(2, activation, x, bias=True)
    torch.testing.assert_close(found.nngp, exact.nngp, rtol=0, atol=accuracy / 5)
    torch.testing.assert_close(found.ntk, exact.ntk, rtol=0, atol=accuracy)


@pytest.mark.parametrize("activation", ["tanh", "swish", "gelu"])
def test_series_are_double_integrals(activation: str) -> None:
    """E φ(u) φ(v) and E φ'(u) φ'(v) on a grid, which is exact to rounding for smooth functions."""
    phi = Dense(1, 1, 1, activation=activation).activation
    z = torch.linspace(-9, 9, 721, dtype=torch.float64)
    w = torch.exp(-z * z / 2)
    w /= w.sum()
    for q, other_q, c in ((1.0, 1.0, 0.3), (1.0, 0.5, 0.99), (1.0, 2.0, -1.0)):
        u = (q**0.5 * z)[:, None]
        v = other_q**0.5 * (c * z[:, None] + (1 - c * c) ** 0.5 * z)
        sigma = float(w @ (phi(u) * phi(v)) @ w)
        slope = float(w @ (phi.slope(u) * phi.slope(v)) @ w) * phi.norm**2
        x = (2 * q) ** 0.5 * torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        other = (2 * other_q) ** 0.5 * torch.tensor([[c, (1 - c * c) ** 0.5]], dtype=torch.float64)
        found = infinite_width(1, activation, x, other, bias=True)
        assert float(found.nngp) == pytest.approx(sigma, abs=1e-9)
        first = (q * other_q) ** 0.5 * c + 1
        assert float(found.ntk) == pytest.approx(sigma + 1 + first * slope, abs=1e-8)


def mean_kernel(
    width: int, depth: int, x: Tensor, members: int, activation: str = "relu", bias: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean and standard error of tangent kernels over members."""
    generator, dtype = torch.Generator().manual_seed(0), torch.float64
    one = Dense(x.shape[1], width, depth, activation=activation, bias=bias, members=1, dtype=dtype)
    net = one.select([0] * members)
    for weight in net.weights:
        weight.data.normal_(generator=generator)
    kernels = tangent_kernel(net, x)
    return kernels.mean(0), kernels.std(0) / members**0.5


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_mean_kernel_of_one_hidden_layer_is_the_limit(activation: str, bias: bool) -> None:
    """At any width the mean is the limit: every entry agrees within 4 standard errors over 200 seeds."""
    x = draw(5, 3)
    mean, error = mean_kernel(256, 1, x, 200, activation, bias)
    limit = infinite_width(1, activation, x, bias=bias).ntk
    assert float(((mean - limit) / error).abs().max()) < 4


def test_deviation_of_three_layers_from_the_limit_falls_as_one_over_the_width() -> None:
    """At x' = -x, (mean - limit) times the width h is equal for all h within 4 standard errors, 4 to 8 %."""
    x = circle(COSINES[[0, 4]])
    limit = infinite_width(3, "relu", x).ntk[0, 1]
    widths = (4, 8, 16)
    kernels = [mean_kernel(width, 3, x, 15_000) for width in widths]
    bias = torch.stack([h * (mean[0, 1] - limit) for h, (mean, _) in zip(widths, kernels, strict=True)])
    error = torch.stack([h * error[0, 1] for h, (_, error) in zip(widths, kernels, strict=True)])
    assert bool((bias < -4 * error).all())
    weights = error**-2
    mean = (weights * bias).sum() / weights.sum()
    assert float(((bias - mean) / error).abs().max()) < 4
    # If the deviation fell as 1/h², this product would halve at each step, which is excluded.
    assert float((bias[2] - bias[0] / 4) / error[2]) < -4


SIGNS = torch.stack([torch.diag(torch.tensor([a, b, 1.0])) for a in (1.0, -1.0) for b in (1.0, -1.0)])


def kernel(x1: Tensor, x2: Tensor) -> Tensor:
    return infinite_width(1, "relu", x1, x2).ntk


def test_averaged_kernels_are_invariant_in_each_argument() -> None:
    x, other = draw(6, 3), draw(4, 3, seed=1)
    averaged = group_average(kernel, SIGNS)
    found = averaged(x, other)
    for g in SIGNS.double():
        torch.testing.assert_close(averaged(x @ g.T, other), found)
        torch.testing.assert_close(averaged(x, other @ g.T), found)
    torch.testing.assert_close(group_average(kernel, SIGNS[:1])(x, other), kernel(x, other))
    assert float(torch.linalg.eigvalsh(averaged(x, x))[0]) > -1e-12
    twice = group_average(averaged, SIGNS)
    torch.testing.assert_close(twice(x, other), found)


def test_matrices_that_are_no_group_are_refused() -> None:
    with pytest.raises(ValueError, match="a product of two matrices is not among"):
        group_average(kernel, SIGNS[:3])
    with pytest.raises(ValueError, match="a product of two matrices is not among"):
        group_average(kernel, SIGNS[[0, 0]])
    with pytest.raises(ValueError, match="orthogonal"):
        group_average(kernel, 2 * SIGNS)
    with pytest.raises(ValueError, match=r"\(order, d, d\)"):
        group_average(kernel, SIGNS[0])


def test_errors_say_what_was_expected() -> None:
    with pytest.raises(ValueError, match="depth: expected at least 1"):
        infinite_width(0, "relu", draw(2, 2))
    with pytest.raises(ValueError, match="activation: unknown 'rely'"):
        infinite_width(1, "rely", draw(2, 2))
    with pytest.raises(ValueError, match=r"expected inputs \(n, d\) and \(m, d\)"):
        infinite_width(1, "relu", draw(2, 2), draw(2, 3))


def test_an_input_at_the_origin_has_no_kernel_without_biases() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    for activation in ("relu", "tanh"):
        found = infinite_width(2, activation, x).ntk
        assert found[0].tolist() == [0.0, 0.0]
        net = Dense(2, 5, 2, activation=activation, dtype=torch.float64)
        assert tangent_kernel(net, x)[0].tolist() == [0.0, 0.0]
