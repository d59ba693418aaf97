"""Projections of filters against the Laplacian matrix of the grid."""

import numpy as np
import pytest
import torch

from symnets.observables import filter_projections


def laplacian(k: int) -> np.ndarray:
    """Laplacian of the k x k grid: number of neighbours on the diagonal, -1 for each neighbour."""
    matrix = np.zeros((k * k, k * k))
    for i in range(k):
        for j in range(k):
            for a, b in [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]:
                if 0 <= a < k and 0 <= b < k:
                    matrix[i * k + j, i * k + j] += 1
                    matrix[i * k + j, a * k + b] -= 1
    return matrix


def weight(k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 3, k, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_projections_are_those_on_eigenspaces(k: int) -> None:
    found = filter_projections(weight(k))
    values, vectors = np.linalg.eigh(laplacian(k))
    assert found.eigenvalues.numpy() == pytest.approx(values, abs=1e-12)
    squares = ((weight(k).flatten(2).numpy() @ vectors) ** 2).mean((0, 1))
    for value in np.unique(values.round(9)):  # within an eigenspace the basis is free
        ours = found.mean_squares[(found.eigenvalues - value).abs() < 1e-6].sum()
        assert ours == pytest.approx(squares[np.abs(values - value) < 1e-6].sum(), rel=1e-10)


def test_parseval() -> None:
    found = filter_projections(weight(3))
    mean_square = weight(3).square().sum((2, 3)).mean()
    torch.testing.assert_close(found.mean_squares.sum(), mean_square)
    torch.testing.assert_close(found.fractions.sum(), torch.ones((), dtype=torch.float64))


def test_a_constant_filter_is_the_zero_mode() -> None:
    found = filter_projections(torch.full((2, 2, 5, 5), 0.3))
    assert found.modes[0].tolist() == [0, 0]
    assert found.eigenvalues[0] == 0
    assert found.fractions[0] == pytest.approx(1, abs=1e-12)


def test_a_checkerboard_has_the_highest_frequencies() -> None:
    """On 2 x 2 pixels it is exactly the last mode."""
    checkerboard = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).reshape(1, 1, 2, 2)
    found = filter_projections(checkerboard)
    assert found.modes[-1].tolist() == [1, 1]
    assert found.fractions[-1] == pytest.approx(1, abs=1e-12)
    assert found.eigenvalues[-1] == pytest.approx(4)


def test_modes_are_rows_then_columns() -> None:
    stripes = torch.tensor([[1.0, 1, 1], [0, 0, 0], [-1, -1, -1]]).reshape(1, 1, 3, 3)
    found = filter_projections(stripes)
    assert found.modes[found.mean_squares.argmax()].tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(3, 3), (2, 2, 3, 5), (0, 2, 3, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="weight: expected shape"):
        filter_projections(torch.zeros(shape))
