"""Alignment of a kernel with labels, and changes of a kernel in norm and in direction."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.observables.kernels._checks import columns, square


def alignment(
    kernel: Float[Tensor, "*members n n"], labels: Float[Tensor, "n *outputs"], *, centered: bool = False
) -> Float[Tensor, "*members"]:
    """Alignment of a kernel with labels: the cosine between K and the ideal kernel y yᵀ.

        A = yᵀ K y / (|K|_F |y|²),

    in general tr(Yᵀ K Y) / (|K|_F |Y Yᵀ|_F). It is 1 for K = y yᵀ (Cristianini et al. 2001, "On
    kernel-target alignment"). The centred alignment is that of H K H and H y, where H subtracts the mean,
    H_ij = δ_ij - 1/n: it does not change when a constant is added to the kernel or to the labels (Cortes et
    al. 2012, arXiv:1203.0550). If labels have a large mean, as energies of one molecule do, the raw alignment
    measures only how well a constant explains them.

    Args:
        kernel: K, symmetric.
        labels: y, (n,), or Y with one column for each output.
        centered: whether kernel and labels are centred.

    Returns:
        A number for each member; NaN if kernel or labels vanish, also after centring.

    Raises:
        ValueError: the kernel is not square, or there are not n labels.

    Example:
        >>> y = torch.tensor([1.0, -1.0, -1.0])
        >>> float(alignment(torch.outer(y, y), y))
        1.0
    """
    kernel = square(kernel)
    y = columns(labels, kernel.shape[-1])
    if centered:
        kernel = kernel - kernel.mean(-1, keepdim=True)
        kernel = kernel - kernel.mean(-2, keepdim=True)
        y = y - y.mean(0)
    overlap = (y * (kernel @ y)).sum((-1, -2))
    return overlap / (torch.linalg.matrix_norm(kernel) * torch.linalg.matrix_norm(y.T @ y))


@dataclass(frozen=True)
class KernelChange:
    """Change of a kernel with respect to another one, split into change of norm and of direction.

    With r = |K|/|K0|, the three numbers obey distance² = norm² + 2 r direction.

    Attributes:
        distance: |K - K0| / |K0|, Frobenius norms.
        norm: |K| / |K0| - 1; negative if the kernel shrank.
        direction: 1 - cosine between K and K0; zero if they are proportional.
    """

    distance: Float[Tensor, "*members"]
    norm: Float[Tensor, "*members"]
    direction: Float[Tensor, "*members"]


def kernel_change(
    kernel: Float[Tensor, "*members n m"], initial: Float[Tensor, "*members n m"]
) -> KernelChange:
    """Change of a kernel along training, in norm and in direction.

    A change of norm alone only rescales time; a change of direction changes what the kernel predicts.

    Args:
        kernel: K.
        initial: K0, of the same shape; they need not be square.

    Raises:
        ValueError: shapes differ.

    Example:
        >>> change = kernel_change(3 * torch.eye(2), torch.eye(2))
        >>> float(change.norm), float(change.direction)
        (2.0, 0.0)
    """
    if kernel.shape != initial.shape or kernel.ndim < 2:
        raise ValueError(
            f"kernel, initial: expected two kernels of one shape, got {tuple(kernel.shape)} and "
            f"{tuple(initial.shape)}"
        )
    k, k0 = kernel.detach().double(), initial.detach().double()
    norm, norm0 = (torch.linalg.matrix_norm(each) for each in (k, k0))
    # 1 - cosine without the rounding error of a cosine near 1.
    direction = k / norm[..., None, None] - k0 / norm0[..., None, None]
    return KernelChange(
        torch.linalg.matrix_norm(k - k0) / norm0, norm / norm0 - 1, direction.square().sum((-1, -2)) / 2
    )
