"""EnergyModel: what the potentials of message passing have in common.

The types of their options state the ranges once, for constructors, YAML files and the command line.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import nn

from symnets.config import annotated_ranges, at_least, check_values, more_than, within
from symnets.nn import SpeciesIndex, species_numbers

Cutoff = Annotated[float, more_than(0)]
"""A distance in Å."""
Degree = Annotated[int, within(0, 6)]
"""Degree l of irreps. e3nn's spherical harmonics go further; the memory of most machines does not."""
Count = Annotated[int, at_least(1)]
"""A number of layers, channels or functions."""
Widths = Annotated[Sequence[int], at_least(1)]
"""Widths of the hidden layers of a network."""
PerSpecies = float | Sequence[float]
"""One number for all species, or one for each in order of atomic number."""


class EnergyModel(nn.Module):
    """Elements, cutoff, embedding of species, and the arguments that a model file stores.

    `ForceField` takes any module with `species`, `cutoff` and `forward(graph)`. This base class spares an
    architecture what most of them repeat. Its constructor passes its arguments on, then builds the layers.

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: Å; edges are between atoms closer than this.
        width: components of the embedding of a species.
        mean_neighbors: average number of neighbours, of which sums over neighbours are divided by the root.
        shift: eV, energy of each atom before the network adds its own: one number or one for each species.
        scale: eV, natural size of an atom's energy: one number or one for each species.
        options: all other arguments of the constructor, by name.

    Attributes:
        config: all arguments of the constructor, as the model file stores them.
        species: atomic numbers in increasing order.
        species_index: from atomic numbers to 0, 1, ..., the order of `species`.
        embedding: drawn from N(0, 1), one row for each species.

    Raises:
        OutOfRange: an argument is out of the range in its annotation.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float,
        *,
        width: int,
        mean_neighbors: float | tuple[float, ...],
        shift: PerSpecies,
        scale: PerSpecies,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.species = species_numbers(species)
        self.cutoff = float(cutoff)
        self.config = {
            "species": self.species,
            "cutoff": self.cutoff,
            **options,
            "mean_neighbors": mean_neighbors if isinstance(mean_neighbors, tuple) else float(mean_neighbors),
            "shift": per_species("shift", shift, len(self.species)),
            "scale": per_species("scale", scale, len(self.species)),
        }
        name, expected = type(self).__name__, set(inspect.signature(type(self)).parameters)
        if expected != set(self.config):
            raise TypeError(
                f"{name}: expected all arguments of the constructor as options, but "
                f"{', '.join(sorted(expected ^ set(self.config)))} differ"
            )
        check_values(name, self.config, annotated_ranges(type(self).__init__))
        self.species_index = SpeciesIndex(self.species)
        self.embedding = nn.Parameter(torch.randn(len(self.species), width))


def per_species(name: str, value: PerSpecies, n_species: int) -> tuple[float, ...]:
    """`value` for each of `n_species` species, in order of atomic number."""
    if isinstance(value, int | float):
        return (float(value),) * n_species
    if len(value) != n_species:
        raise ValueError(f"{name}: expected one number or {n_species} (one a species), got {len(value)}")
    return tuple(float(v) for v in value)
