"""Matrices as irreps: e3nn's basis, and the law of rotation."""

import warnings
from typing import Any

import pytest
import torch
from e3nn import o3

from symnets.nn import irreps_to_matrix, matrix_to_irreps
from symnets.testing import assert_equivariant, random_rotation
from symnets.testing._layers import transform

MATRIX = torch.randn(4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("irreps", "symmetric"), [("0e+1e+2e", False), ("0e+2e", True)])
def test_matrices_rotate_as_their_irreps(irreps, symmetric):
    matrix = MATRIX + MATRIX.mT if symmetric else MATRIX
    found = matrix_to_irreps(matrix, symmetric=symmetric)
    torch.testing.assert_close(irreps_to_matrix(found), matrix, rtol=0, atol=1e-14)
    torch.testing.assert_close(found.square().sum(1), matrix.square().sum((1, 2)))
    for improper in (False, True):
        rotation = torch.as_tensor(random_rotation(1, improper=improper))
        rotated = matrix_to_irreps(rotation @ matrix @ rotation.mT, symmetric=symmetric)
        expected = transform(found, o3.Irreps(irreps), rotation)
        torch.testing.assert_close(rotated, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("formula", "symmetric"), [("ij", False), ("ij=ji", True)])
def test_irreps_are_those_of_e3nn(formula, symmetric):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # e3nn's, on TorchScript
        from e3nn.io import CartesianTensor

        tensor: Any = CartesianTensor(formula)
        matrix = MATRIX + MATRIX.mT if symmetric else MATRIX
        expected = tensor.from_cartesian(matrix.float())
    found = matrix_to_irreps(matrix, symmetric=symmetric).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # e3nn's basis is float32


def test_products_of_vectors_are_matrices():
    """The outer product of vectors a and b has the scalar a·b/√3 and the pseudovector (a × b)/√2."""
    assert_equivariant(lambda a, b: matrix_to_irreps(a[:, :, None] * b[:, None]), ["1o", "1o"], "0e+1e+2e")
    a, b = MATRIX[:, 0], MATRIX[:, 1]
    found = matrix_to_irreps(a[:, :, None] * b[:, None])
    torch.testing.assert_close(found[:, 0], (a * b).sum(1) / 3**0.5)
    torch.testing.assert_close(found[:, 1:4], torch.linalg.cross(a, b) / 2**0.5)


def test_other_numbers_of_components_are_refused():
    with pytest.raises(ValueError, match="expected 6 or 9 components"):
        irreps_to_matrix(torch.zeros(2, 5))
