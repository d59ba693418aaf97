"""Kernels averaged over a finite group of symmetries of the inputs."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Kernel = Callable[[Tensor, Tensor], Float[Tensor, "n m"]]
"""Function that returns the matrix K(x1, x2) of points x1 (n, d) and x2 (m, d)."""


def group_average(kernel: Kernel, group: Float[Tensor, "order d d"]) -> Kernel:
    """A kernel averaged over a finite group G of symmetries, K_G(x, x') = (1/|G|) Σ_g K(x, g x').

    A kernel is isotropic if K(g x, g x') = K(x, x') for all orthogonal g, as those of fully connected nets
    are. K_G is then invariant in each argument, and so are the functions that it learns. It is the kernel of
    a net whose outputs are averaged over G. Learning an invariant function takes about |G| times fewer
    patterns with K_G than with K (Bietti, Venturi, Bruna 2021, arXiv:2106.07148).

    Args:
        kernel: function of points x1 (n, d) and x2 (m, d) that returns K(x1, x2), (n, m); it must not change
            if one g is applied to both.
        group: orthogonal matrices of all elements, such as permutations and changes of sign.

    Returns:
        A function of (x1, x2) as `kernel`.

    Raises:
        ValueError: matrices that are not orthogonal, or not a group: a product of two of them is missing, or
            two are equal.

    Example:
        Even functions of x, with the group {1, -1}:

        >>> from symnets.observables import infinite_width
        >>> signs = torch.stack([torch.eye(3), -torch.eye(3)])
        >>> even = group_average(lambda x1, x2: infinite_width(1, "relu", x1, x2).ntk, signs)
    """
    if group.ndim != 3 or group.shape[1] != group.shape[2] or not len(group):
        raise ValueError(f"group: expected matrices (order, d, d), got shape {tuple(group.shape)}")
    g = group.detach().double()
    eye = torch.eye(g.shape[1], dtype=g.dtype, device=g.device)
    if float((g @ g.mT - eye).abs().max()) > 1e-6:
        raise ValueError("group: expected orthogonal matrices, g gᵀ = 1")
    flat = g.flatten(1)
    products = (g[:, None] @ g).flatten(0, 1).flatten(1)
    missing = torch.cdist(products, flat, p=torch.inf).amin(1) > 1e-6
    if bool(missing.any()) or len(torch.unique(flat.round(decimals=5), dim=0)) < len(g):
        raise ValueError(
            "group: expected all elements of a group, each once, but a product of two matrices is not among "
            "them, or two are equal"
        )

    def averaged(x1: Tensor, x2: Tensor) -> Tensor:
        total = None
        for element in g:
            part = kernel(x1, x2 @ element.to(x2).T)
            total = part if total is None else total + part
        assert total is not None
        return total / len(g)

    return averaged
