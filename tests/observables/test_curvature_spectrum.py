"""Spectra and inertia against planted eigenvalues."""

import pytest
import torch
from torch import Tensor, nn

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables.curvature import h0_spectrum, hessian_split, inertia, spectrum
from symnets.training import MSE, CrossEntropy, Hinge, QuadraticHinge


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_eigenvalues(values: list[float], seed: int = 0) -> Tensor:
    q, _ = torch.linalg.qr(draw(len(values), len(values), seed=seed))
    matrix = q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ q.T
    return (matrix + matrix.T) / 2


@pytest.mark.parametrize("seed", range(5))
def test_inertia_counts_planted_eigenvalues(seed: int) -> None:
    found = inertia(with_eigenvalues([-3, -1e-3, -1e-9] + [0] * 6 + [1e-6, 0.5, 2, 7], seed))
    assert (found.n_negative, found.n_zero, found.n_positive) == (3, 6, 4)


@pytest.mark.parametrize("n", [1, 2, 30, 70])
def test_inertia_agrees_with_the_spectrum(n: int) -> None:
    matrix = draw(n, n)
    matrix = matrix + matrix.T
    found, eigenvalues = inertia(matrix), spectrum(matrix)
    assert found.n_negative == eigenvalues.n_below(0)
    assert found.n_negative + found.n_positive == n


def test_blocks_of_two_are_counted() -> None:
    """No pivot on the diagonal: D has blocks of two."""
    exchange = torch.tensor([[0.0, 1], [1, 0]], dtype=torch.float64)
    found = inertia(torch.block_diag(exchange, exchange, exchange), tolerance=0)
    assert (found.n_negative, found.n_zero, found.n_positive) == (3, 0, 3)


@pytest.mark.parametrize(("tolerance", "counts"), [(0.05, (1, 1, 2)), (0.5, (1, 2, 1)), (3.0, (0, 4, 0))])
def test_tolerance_decides_what_is_zero(tolerance: float, counts: tuple) -> None:
    found = inertia(with_eigenvalues([-1, 0.01, 0.1, 2]), tolerance=tolerance)
    assert (found.n_negative, found.n_zero, found.n_positive) == counts


def test_inertia_of_the_zero_matrix() -> None:
    assert inertia(torch.zeros(4, 4)).n_zero == 4


def test_float32_rounding_is_not_taken_for_curvature() -> None:
    found = inertia(with_eigenvalues([0.0] * 20 + [1, 2, 3]).float())
    assert (found.n_negative, found.n_zero, found.n_positive) == (0, 20, 3)


def test_members_have_separate_spectra() -> None:
    matrices = torch.stack([with_eigenvalues([-1, 1, 2]), with_eigenvalues([-1, -1, 2])])
    assert inertia(matrices).n_negative.tolist() == [1, 2]
    assert spectrum(matrices).n_below(0).tolist() == [1, 2]
    torch.testing.assert_close(spectrum(matrices).largest, torch.tensor([2.0, 2.0], dtype=torch.float64))


def test_flat_directions() -> None:
    assert spectrum(with_eigenvalues([-1, -1e-4, 0, 1e-4, 3])).n_flat(1e-3) == 3


class Softplus(nn.Module):
    """A net of one output that is not `Dense`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 1)).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


NETS = {
    "dense": Dense(3, 4, 2, bias=True, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    "any module": Softplus(),
}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS.keys())
@pytest.mark.parametrize("loss", [QuadraticHinge(), CrossEntropy(), MSE()])
@pytest.mark.parametrize("n", [9, 90])  # less and more than N
def test_spectrum_of_h0_is_that_of_the_tangent_kernel(net: nn.Module, loss: object, n: int) -> None:
    batch = Batch(draw(n, 3, seed=1), draw(n, seed=2).sign())
    found = h0_spectrum(net, loss, batch).eigenvalues  # pyright: ignore
    expected = spectrum(hessian_split(net, loss, batch).h0).eigenvalues  # pyright: ignore
    torch.testing.assert_close(found, expected[-len(found) :], rtol=0, atol=1e-13)
    assert expected[: -len(found)].abs().sum() < 1e-12
    assert len(found) <= min(n, len(expected))


@pytest.mark.parametrize("net", NETS.values(), ids=NETS.keys())
def test_spectrum_of_h0_of_batches_is_that_of_all_patterns(net: nn.Module) -> None:
    x, y = draw(9, 3, seed=1), draw(9, seed=2).sign()
    found = h0_spectrum(net, nn.SoftMarginLoss(), [(x[:2], y[:2]), (x[2:], y[2:])]).eigenvalues
    expected = h0_spectrum(net, CrossEntropy(), (x, y)).eigenvalues
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


def test_h0_of_the_hinge_has_no_eigenvalues() -> None:
    batch = Batch(draw(9, 3), draw(9).sign())
    assert h0_spectrum(NETS["dense"], Hinge(), batch).eigenvalues.numel() == 0


def test_bad_input_is_refused() -> None:
    for function in (inertia, spectrum):
        with pytest.raises(ValueError, match="differ from their transpose"):
            function(draw(3, 3))
        with pytest.raises(ValueError, match=r"expected shape \(..., n, n\), got \(3, 2\)"):
            function(draw(3, 2))
        with pytest.raises(ValueError, match="check whether the training diverged"):
            function(torch.full((2, 2), torch.nan))
    with pytest.raises(ValueError, match="tolerance: expected a number >= 0"):
        inertia(torch.eye(2), tolerance=-1)
    batch = Batch(draw(5, 3), draw(5).sign())
    with pytest.raises(ValueError, match=r"take model.member\(s\)"):
        h0_spectrum(Dense(3, 4, 1, members=2, dtype=torch.float64), MSE(), batch)
    with pytest.raises(ValueError, match="expected ℓ'' >= 0"):
        h0_spectrum(NETS["dense"], lambda f, y: -((f - y) ** 2), batch)
