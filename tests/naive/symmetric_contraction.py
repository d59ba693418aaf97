"""Slow reference of the symmetric contraction: tensors with ν indices, and the invariant ones among them."""

import itertools

import torch
from e3nn import o3
from torch import Tensor

from symnets.ops._contraction_plan import monomials, orderings
from symnets.testing._layers import representation


def tensors(basis: Tensor, n_variables: int, degree: int) -> Tensor:
    """U[η, M, i1, ..., iν] from the coefficients of monomials."""
    dense = basis.new_zeros(*basis.shape[:2], *[n_variables] * degree)
    for number, monomial in enumerate(monomials(n_variables, degree)):
        for order in set(itertools.permutations(monomial)):
            dense[(..., *order)] = basis[:, :, number] / orderings(monomial)
    return dense


def invariant_projector(
    irreps: o3.Irreps, degree: int, irrep_out: o3.Irrep, generator: torch.Generator
) -> Tensor:
    """Projector on the tensors U[M, i1, ..., iν] that commute with rotations and inversion and are symmetric.

    Some random group elements and the exchanges of neighbouring indices leave these vectors alone.
    """
    quaternion = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    rotations = o3.quaternion_to_matrix(quaternion / quaternion.norm(dim=1, keepdim=True))
    actions = []
    for element in (*rotations, -torch.eye(3, dtype=torch.float64)):
        action = representation(irrep_out, element)
        for _ in range(degree):
            action = torch.kron(action, torch.block_diag(*[representation(ir, element) for _, ir in irreps]))
        actions.append(action)
    shape = (irrep_out.dim, *[irreps.dim] * degree)
    numbers = torch.arange(irrep_out.dim * irreps.dim**degree).view(shape)
    unit = torch.eye(numbers.numel(), dtype=torch.float64)
    actions += [unit[numbers.transpose(i, i + 1).flatten()] for i in range(1, degree)]
    moved = sum((action - unit).mT @ (action - unit) for action in actions)
    assert isinstance(moved, Tensor)
    values, vectors = torch.linalg.eigh(moved)
    still = vectors[:, values < 1e-9]
    return still @ still.mT


def contraction(bases: list[tuple[int, Tensor]], x: Tensor, weights: Tensor) -> Tensor:
    """Σ_ν Σ_η w_η Σ U^η x ... x of one node and one channel, with full tensors."""
    total, first = x.new_zeros(()), 0
    for degree, basis in bases:
        dense = tensors(basis, len(x), degree)
        for _ in range(degree):
            dense = dense @ x
        total = total + weights[first : first + len(basis)] @ dense
        first += len(basis)
    return total
