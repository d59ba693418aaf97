"""Radial bases of a distance that is transformed for each pair of elements: Agnesi and soft transforms."""

from collections.abc import Sequence

import torch
from ase.data import chemical_symbols, covalent_radii
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.nn._envelopes import polynomial_envelope


class PairKinds(nn.Module):
    """Kinds of pairs: an index for each unordered pair of a model's species, and sums of covalent radii.

    The pair of the i-th and j-th species, i <= j, counted from 0, is of kind j (j + 1) / 2 + i.

    Args:
        species: atomic numbers of the model's species.
    """

    table: Tensor

    def __init__(self, species: Sequence[int]) -> None:
        super().__init__()
        self.species = tuple(species)
        n = len(self.species)
        self.n_kinds = n * (n + 1) // 2
        j, i = torch.tril_indices(n, n)
        pairs = zip(i.tolist(), j.tolist(), strict=True)
        self.of_kind = [(self.species[a], self.species[b]) for a, b in pairs]
        table = torch.zeros(len(chemical_symbols), len(chemical_symbols), dtype=torch.long)
        numbers = torch.tensor(self.species)
        table[numbers[i], numbers[j]] = table[numbers[j], numbers[i]] = torch.arange(self.n_kinds)
        self.register_buffer("table", table, persistent=False)
        self._lengths: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def forward(self, z: Int[Tensor, "2 pairs"]) -> Int[Tensor, " pairs"]:
        """Kind of each pair, from the atomic numbers of its two atoms, which are species of the model."""
        return self.table[z[0], z[1]]

    def lengths(self, like: Tensor) -> Float[Tensor, " kinds"]:
        """Sum of the covalent radii of each kind in Å, in the dtype and on the device of a tensor."""
        key = (like.dtype, like.device)
        if key not in self._lengths:
            with torch.inference_mode(False):  # tensors made in inference mode cannot be used in training
                sums = [covalent_radii[a] + covalent_radii[b] for a, b in self.of_kind]
                self._lengths[key] = torch.tensor(sums, dtype=like.dtype, device=like.device)
        return self._lengths[key]


class AgnesiTransform(nn.Module):
    """Agnesi transform of a distance r to a number that falls from 1 at r = 0 to 0 at large r:

        x = (1 + a s^q / (1 + s^(q-p)))^(-1),     s = 2 r / l,

    where l, about the length of a bond, is the sum of the covalent radii of the two atoms. The constants a, q
    and p are trained; with their initial values x is steepest at r = 0.41 l.

    Source: Witt et al. 2023, ACEpotentials.jl, arXiv:2309.03161; initial constants as in MACE.
    """

    def __init__(self) -> None:
        super().__init__()
        self.constants = nn.Parameter(torch.tensor([1.0805, 0.9183, 4.5791]))

    def forward(
        self, distances: Float[Tensor, " pairs"], lengths: Float[Tensor, " pairs"]
    ) -> Float[Tensor, " pairs"]:
        """x of each pair, from its distance r and the length l, both in Å."""
        a, q, p = self.constants
        s = 2 * distances / lengths
        return 1 / (1 + a * s**p / (1 + s ** (p - q)))  # no power is large, even for small s


class SoftTransform(nn.Module):
    """Soft transform of a distance r to a length near r at large r and near a constant r_0 at small r:

        x = r_0 + (r - r_0) (1 + tanh(α (r - m) / (r_1 - r_0))) / 2,
        r_0 = 3l/4,     r_1 = 4l/3,     m = (r_0 + r_1) / 2,

    where l, about the length of a bond, is the sum of the covalent radii of the two atoms. The constant α,
    4 at the start, is trained.

    Source: the transform of that name in mace-torch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.constants = nn.Parameter(torch.tensor([4.0]))

    def forward(
        self, distances: Float[Tensor, " pairs"], lengths: Float[Tensor, " pairs"]
    ) -> Float[Tensor, " pairs"]:
        """x of each pair in Å, from its distance r and the length l, both in Å."""
        low, high = 0.75 * lengths, lengths / 0.75
        steepness = self.constants[0] / (high - low)
        step = (1 + torch.tanh(steepness * (distances - (low + high) / 2))) / 2
        return low + (distances - low) * step


class TransformedBasis(nn.Module):
    """Radial basis of a transformed distance, times an envelope of the distance itself:

        b_n(r) = f_n(x(r, l)) u(r / r_c),

    where l is the sum of the covalent radii of the two atoms.

    Args:
        functions: module that computes all f_n, from x of shape (pairs,) to (pairs, n_basis).
        transform: x, such as `AgnesiTransform`.
        cutoff: r_c in Å.
        species: atomic numbers of the model's species.
        p: order of u, a `polynomial_envelope`.
    """

    def __init__(
        self,
        functions: nn.Module,
        transform: AgnesiTransform | SoftTransform,
        *,
        cutoff: float,
        species: Sequence[int],
        p: int = 6,
    ) -> None:
        super().__init__()
        self.functions, self.transform, self.kinds = functions, transform, PairKinds(species)
        self.cutoff, self.p = cutoff, p

    def forward(
        self, distances: Float[Tensor, " pairs"], kind: Int[Tensor, " pairs"]
    ) -> Float[Tensor, "pairs n_basis"]:
        """Basis functions of pairs of atoms, from their distances in Å and their kinds (`PairKinds`)."""
        x = self.transform(distances, self.kinds.lengths(distances)[kind])
        return self.functions(x) * polynomial_envelope(distances / self.cutoff, self.p)[:, None]
