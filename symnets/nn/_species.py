"""SpeciesIndex: from atomic numbers to the rows of a model's tables.

AtomicEnergy: a scale and a shift of its own for every species, the shift in float64.
"""

from collections.abc import Callable, Sequence

import torch
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Float, Int
from torch import Tensor, nn


def species_numbers(species: Sequence[str | int]) -> tuple[int, ...]:
    """Atomic numbers, sorted and each once, of symbols ("C") or numbers (6)."""
    numbers = []
    for item in species:
        number = atomic_numbers.get(item, 0) if isinstance(item, str) else int(item)
        if not 0 < number < len(chemical_symbols):
            raise ValueError(f"species: expected chemical symbols or atomic numbers, got {item!r}")
        numbers.append(number)
    if not numbers:
        raise ValueError("species: expected at least one element, got none")
    return tuple(sorted(set(numbers)))


class SpeciesIndex(nn.Module):
    """Index 0, 1, ... of each atom's species among those a model knows.

    Raises:
        ValueError: for an element the model does not know; names it and those it knows.
    """

    table: Tensor

    def __init__(self, species: Sequence[int]) -> None:
        super().__init__()
        self.species = tuple(species)
        table = torch.full((len(chemical_symbols),), -1)
        table[list(species)] = torch.arange(len(species))
        self.register_buffer("table", table, persistent=False)

    def forward(self, z: Int[Tensor, " atoms"]) -> Int[Tensor, " atoms"]:
        """Indices of atomic numbers `z`."""
        index = self.table[z]
        if bool((index < 0).any()):
            unknown = ", ".join(chemical_symbols[int(n)] for n in z[index < 0].unique())
            known = ", ".join(chemical_symbols[n] for n in self.species)
            raise ValueError(
                f"the structure holds {unknown}, but this model knows {known}; "
                "train a model on data that holds every element you need"
            )
        return index


class AtomicEnergy(nn.Module):
    """Energy of atom n of species s, from the network's output e of order one,

        E_n = scale[s] e_n + shift[s]     in eV, float64.

    The shift (an isolated atom's energy, say -2000 eV) stays in float64 whatever dtype the model
    is moved to, and is added there: in float32 a molecule at -10⁴ eV resolves only 1 meV.

    Args:
        shift: eV, one for every species.
        scale: eV, one for every species; trained.
    """

    shift: Tensor

    def __init__(self, shift: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(list(scale), dtype=torch.get_default_dtype()))
        self.register_buffer("shift", torch.tensor(list(shift), dtype=torch.float64))

    def forward(
        self, output: Float[Tensor, " atoms"], species: Int[Tensor, " atoms"]
    ) -> Float[Tensor, " atoms"]:
        """Energies of atoms; `species` counts from 0."""
        return (output * self.scale[species]).double() + self.shift[species]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "AtomicEnergy":
        """Move to another device or dtype, all but the precision of the shift."""
        exact = self.shift
        super()._apply(fn, recurse)
        self.shift = exact.to(self.shift.device)
        return self
