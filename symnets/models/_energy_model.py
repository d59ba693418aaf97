"""EnergyModel: base class of the message-passing potentials, and types of their options.

The types contain the allowed ranges, which constructors, YAML files and the command line check.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.config import annotated_ranges, at_least, check_values, more_than, within
from symnets.data import AtomGraph
from symnets.nn import SpeciesIndex, species_numbers

Cutoff = Annotated[float, more_than(0)]
"""A distance in Å."""
Degree = Annotated[int, within(0, 6)]
"""Degree l of irreps. e3nn has higher spherical harmonics, but few machines have the memory for them."""
Count = Annotated[int, at_least(1)]
"""A number of layers, channels or functions."""
Widths = Annotated[Sequence[int], at_least(1)]
"""Widths of the hidden layers of a network."""
PerSpecies = float | Sequence[float]
"""One number for all species, or one for each in order of atomic number."""


class EnergyModel(nn.Module):
    """Base class of potentials: elements, cutoff, species embedding, and arguments for the model file.

    The base class is optional: `ForceField` takes any module with `species`, `cutoff` and `forward(graph)`.
    The constructor of an architecture passes all its arguments to this constructor, then builds the layers.

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: Å; edges are between atoms closer than this.
        width: number of components of the embedding of a species.
        mean_neighbors: average number of neighbours; sums over neighbours are divided by its square root.
        shift: eV, energy of each atom without the contribution of the network: one number or one for each
            species.
        scale: eV, factor of the network's contribution: one number or one for each species.
        options: all other arguments of the architecture's constructor, by name.

    Attributes:
        irreps_features: irreps of the features of an atom after the last layer, even scalars first.
        config: all arguments of the architecture's constructor, as the model file stores them.
        species: atomic numbers in increasing order.
        species_index: `SpeciesIndex`, from atomic numbers to indices into `species`.
        embedding: trained vectors (species, width), initially drawn from N(0, 1).

    Raises:
        OutOfRange: an argument is out of the range in its annotation.
        TypeError: `options` lacks an argument of the architecture's constructor, or has another name.
    """

    irreps_features: o3.Irreps

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

    def node_features(self, graph: AtomGraph) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`, in the `ir_mul` layout."""
        raise NotImplementedError(f"{type(self).__name__} has no node_features")


def features_after_last_layer(irreps_last: str | None, scalars: o3.Irreps) -> o3.Irreps:
    """Irreps of the features after the last layer: `scalars`, unless the argument `irreps_last` is given.

    Raises:
        ValueError: `irreps_last` is no irreps, does not begin with even scalars, or repeats an irrep.
    """
    if irreps_last is None:
        return scalars
    try:
        irreps = o3.Irreps([(mul, ir) for mul, ir in o3.Irreps(irreps_last) if mul])
    except ValueError as error:
        raise ValueError(f"irreps_last: expected irreps such as 32x0e+16x1o, got {irreps_last!r}") from error
    if not irreps or irreps[0].ir != o3.Irrep("0e") or len({ir for _, ir in irreps}) < len(irreps):
        raise ValueError(
            "irreps_last: expected even scalars first, and each irrep once, such as 32x0e+16x1o, got "
            f"{irreps_last!r}"
        )
    return irreps


def per_species(name: str, value: PerSpecies, n_species: int) -> tuple[float, ...]:
    """`value` for each of `n_species` species, in order of atomic number."""
    if isinstance(value, int | float):
        return (float(value),) * n_species
    if len(value) != n_species:
        raise ValueError(f"{name}: expected one number or {n_species} (one a species), got {len(value)}")
    return tuple(float(v) for v in value)
