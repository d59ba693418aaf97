"""Chemical species: atomic numbers, their index in a model's tables, and the scale and shift of energies."""

from collections.abc import Callable, Sequence

import torch
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.native import CannotLower, Matrix, Program, ScaleAndShift


def species_numbers(species: Sequence[str | int]) -> tuple[int, ...]:
    """Sorted atomic numbers without repetition, from symbols ("C") or numbers (6).

    Raises:
        ValueError: an unknown element, or none at all.
    """
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
    """Map from atomic numbers to indices 0, 1, ... into the species of a model.

    Args:
        species: atomic numbers of the model's species.
    """

    table: Tensor

    def __init__(self, species: Sequence[int]) -> None:
        super().__init__()
        self.species = tuple(species)
        table = torch.full((len(chemical_symbols),), -1)
        table[list(species)] = torch.arange(len(species))
        self.register_buffer("table", table, persistent=False)

    def forward(self, z: Int[Tensor, " atoms"]) -> Int[Tensor, " atoms"]:
        """Index of each atom's species, from its atomic number z.

        Raises:
            ValueError: an element is not among the model's species.
        """
        index = self.table[z]
        if bool((index < 0).any()):
            unknown = ", ".join(chemical_symbols[int(n)] for n in z[index < 0].unique())
            known = ", ".join(chemical_symbols[n] for n in self.species)
            raise ValueError(
                f"the structure has {unknown}, but the elements of this model are {known}; "
                "train a model on data with every element you need"
            )
        return index

    def lower(self, program: Program, z: Matrix) -> Matrix:
        """Index of each atom's species in a native program, which gets indices from its caller.

        Raises:
            CannotLower: z is not that of the program's atoms.
        """
        if z is not program.species:
            raise CannotLower("SpeciesIndex: expected z of the graph's atoms, got other numbers")
        return z


class AtomicEnergy(nn.Module):
    """Scale and shift that turn outputs of a network into atomic energies in eV, in float64:

        E_n = scale[s] e_n + shift[s]

    for the output e_n, of order one, of atom n of species s. The shift (an isolated atom's energy, say -2000
    eV) stays in float64 when the model is moved to another dtype, and is added in float64: near -10⁴ eV the
    resolution of float32 is only 1 meV.

    Args:
        shift: one for each species, in eV; not trained.
        scale: one for each species, in eV; trained.
    """

    shift: Tensor

    def __init__(self, shift: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(list(scale), dtype=torch.get_default_dtype()))
        self.register_buffer("shift", torch.tensor(list(shift), dtype=torch.float64))

    def forward(
        self, output: Float[Tensor, " atoms"], species: Int[Tensor, " atoms"]
    ) -> Float[Tensor, " atoms"]:
        """Energy of each atom in eV; `species` counts from 0."""
        return (output * self.scale[species]).double() + self.shift[species]

    def lower(self, program: Program, output: Matrix, species: Matrix) -> Matrix:
        """Energy of each atom in a native program.

        Raises:
            CannotLower: the species are not those of the program, or the network has several outputs.
        """
        if species is not program.species:
            raise CannotLower("AtomicEnergy: expected the species of the graph's atoms, got other indices")
        if output.columns != 1:
            raise CannotLower(f"AtomicEnergy: expected one output for each atom, got {output.columns}")
        energy = ScaleAndShift(program, output, self.scale.tolist(), self.shift.tolist())
        program.add(energy)
        return energy.out

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "AtomicEnergy":
        """Move to another device or dtype; the shift keeps its precision."""
        exact = self.shift
        super()._apply(fn, recurse)
        self.shift = exact.to(self.shift.device)
        return self
