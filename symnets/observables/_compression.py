"""Compression: ratio of the relevant to the irrelevant components of the first weights of a net."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Compression:
    """Sizes of the components of the first weights along relevant and irrelevant directions.

    Attributes:
        relevant_rms: root mean square over units of the component along a relevant direction, averaged over
            these directions.
        irrelevant_rms: the same over the irrelevant directions.
    """

    relevant_rms: Float[Tensor, "*members"]
    irrelevant_rms: Float[Tensor, "*members"]

    @property
    def factor(self) -> Float[Tensor, "*members"]:
        """λ = relevant_rms / irrelevant_rms: 1 for random weights, large when irrelevant ones are small."""
        return self.relevant_rms / self.irrelevant_rms


@torch.no_grad()
def compression(model: nn.Module, relevant: Float[Tensor, "dim relevant"]) -> Compression:
    """Compression λ of the irrelevant directions of the inputs by the first layer of a net.

        λ = mean_i rms_n(ω_n · r_i) / mean_j rms_n(ω_n · p_j)

    with the weights ω_n of the units n of the first layer, the root mean square rms_n over these units, the
    relevant directions r_i and the irrelevant ones p_j. If the first axis is the only relevant direction, λ =
    rms(ω_1) / mean_j rms(ω_j), as published (Paccolat et al. 2021, arXiv:2007.11471). For a task that depends
    on few directions, λ after feature training grows as the square root of the number of training patterns;
    in lazy training it stays near 1. The p_j complete the r_i to an orthonormal basis: for coordinate axes
    they are the other axes.

    Args:
        model: its first parameter with two axes or more has the shape (*members, units, d): a `Dense`, a
            wrapper of one, or a module that begins with `nn.Linear`. It is not changed.
        relevant: orthonormal basis of the relevant directions, such as `BinaryTask.relevant`.

    Raises:
        ValueError: the first weights have another number of inputs; the basis is not orthonormal, is empty or
            spans the whole input space.

    Example:
        >>> weights = nn.Linear(2, 3, bias=False)
        >>> weights.weight.data = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        >>> compression(weights, torch.tensor([[1.0], [0.0]])).factor
        tensor(3.)
    """
    weights = next((p.detach() for p in model.parameters() if p.ndim >= 2), None)
    dim, n_relevant = relevant.shape
    if weights is None or weights.shape[-1] != dim:
        shape = None if weights is None else tuple(weights.shape)
        raise ValueError(
            f"model: expected first weights of shape (units, {dim}) as the basis has {dim} rows, got {shape}"
        )
    if not 1 <= n_relevant < dim:
        raise ValueError(f"relevant: expected 1 to {dim - 1} of {dim} directions, got {n_relevant}")
    basis = relevant.to(weights)
    gram = basis.T @ basis
    if not torch.allclose(gram, torch.eye(n_relevant).to(gram), atol=1e-5):
        raise ValueError("relevant: expected an orthonormal basis; torch.linalg.qr(relevant).Q makes one")
    complement = torch.linalg.qr(basis, mode="complete").Q[:, n_relevant:]
    sizes = [(weights @ part).square().mean(-2).sqrt().mean(-1) for part in (basis, complement)]
    return Compression(*sizes)
