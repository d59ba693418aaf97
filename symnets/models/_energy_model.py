"""EnergyModel: base class of the interatomic potentials, and types of their options.

The types contain the allowed ranges, which constructors, YAML files and the command line check.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.config import OutOfRange, annotated_ranges, at_least, check_values, more_than, within
from symnets.data import AtomGraph
from symnets.nn import AtomicEnergy, SpeciesIndex, species_numbers

T = TypeVar("T")
Cutoff = Annotated[float, more_than(0)]
"""A distance in Å."""
Degree = Annotated[int, within(0, 6)]
"""Degree l of irreps. e3nn has spherical harmonics of higher degrees, but they need too much memory."""
Count = Annotated[int, at_least(1)]
"""A number of layers, channels or functions."""
Widths = Annotated[Sequence[int], at_least(1)]
"""Widths of the hidden layers of a network."""
PerSpecies = float | Sequence[float]
"""One number for all species, or one for each in order of atomic number."""


class EnergyModel(nn.Module):
    """Base class of potentials: elements, cutoff, species embedding, readout, arguments for the model file.

    The constructor of an architecture passes all its arguments to this constructor, then builds the layers.
    The architecture defines `features(graph, species)` and sets `irreps_features`, `readout` and
    `atomic_energy`: the energy of an atom is the scaled and shifted `readout` of its even scalars. An
    architecture with another readout overrides `energy_and_features`; one without features overrides
    `forward`.

    The base class is optional: `ForceField` takes any module with `species`, `cutoff` and `forward(graph)`.

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: Å; edges are between atoms closer than this.
        width: number of components of the embedding of a species.
        mean_neighbors: average number of neighbours, by whose square root sums over neighbours are divided;
            one number, or one for each layer.
        shift: eV, energy of each atom without the contribution of the network: one number or one for each
            species.
        scale: eV, factor of the network's contribution: one number or one for each species.
        options: all other arguments of the architecture's constructor, by name.

    Attributes:
        irreps_features: irreps of the features of an atom after the last layer, even scalars first.
        readout: module from the even scalars of an atom to one number.
        atomic_energy: scale and shift of that number, for each species.
        config: all arguments of the architecture's constructor, as the model file stores them.
        species: atomic numbers in increasing order.
        species_index: `SpeciesIndex`, from atomic numbers to indices into `species`.
        embedding: trained vectors (species, width), initially drawn from N(0, 1).

    Raises:
        OutOfRange: an argument is out of the range in its annotation.
        TypeError: `options` lacks an argument of the architecture's constructor, or has another name.
    """

    irreps_features: o3.Irreps
    readout: nn.Module
    atomic_energy: AtomicEnergy

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
        constructor = type(self).__init__
        check_values(name, self.config, annotated_ranges(constructor), constructor)
        self.species_index = SpeciesIndex(self.species)
        self.embedding = nn.Parameter(torch.randn(len(self.species), width))

    def features(self, graph: AtomGraph, species: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`, in the `ir_mul` layout.

        Args:
            graph: structures.
            species: index of the species of each atom, `species_index(graph.z)`.

        Raises:
            NotImplementedError: the architecture does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method features(graph, species)")

    def node_features(self, graph: AtomGraph) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`, in the `ir_mul` layout."""
        return self.features(graph, self.species_index(graph.z))

    def energy_and_features(
        self, graph: AtomGraph
    ) -> tuple[Float[Tensor, " atoms"], Float[Tensor, "atoms dim"]]:
        """Energy of each atom in eV, float64, and its features, in one pass through the layers."""
        species = self.species_index(graph.z)
        features = self.features(graph, species)
        output = self.readout(features[:, : self.irreps_features[0].dim])
        return self.atomic_energy(output.squeeze(-1), species), features

    def forward(self, graph: AtomGraph) -> Float[Tensor, " atoms"]:
        """Energy of each atom in eV, float64."""
        energy, _ = self.energy_and_features(graph)
        return energy


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


def hidden_irreps(channels: int, irreps_filter: o3.Irreps, *, parity: bool) -> o3.Irreps:
    """`channels` of each irrep of the spherical harmonics and, with `parity`, of the other parity."""
    degrees = [(ir.l, (1, -1) if parity else (ir.p,)) for _, ir in irreps_filter]
    return o3.Irreps([(channels, (l, p)) for l, parities in degrees for p in parities])  # noqa: E741


def stacked_layers(
    layer: Callable[[o3.Irreps, o3.Irreps], nn.Module],
    irreps_in: o3.Irreps,
    hidden: o3.Irreps,
    last: o3.Irreps,
    n_layers: int,
) -> nn.ModuleList:
    """Layers that each read the features of the previous one, from `irreps_in` to `last`.

    Args:
        layer: (irreps of the input, irreps to compute) -> a layer, whose `irreps_out` are those that a path
            reaches.
        irreps_in: irreps of the input of the first layer.
        hidden: irreps to compute after each layer but the last.
        last: irreps after the last layer.
        n_layers: number of layers.

    Raises:
        ValueError: no path leads to an irrep of `last`.
    """
    layers, irreps = nn.ModuleList(), irreps_in
    for number in range(n_layers):
        new: Any = layer(irreps, last if number == n_layers - 1 else hidden)
        layers.append(new)
        irreps = new.irreps_out
    if irreps != last:
        raise ValueError(
            f"irreps_last: no path leads to some of {last}, only to {irreps}; increase layers={n_layers}, "
            "or leave out the irreps that no path reaches"
        )
    return layers


def per_layer(name: str, value: T | Sequence[T], layers: int) -> tuple[T, ...]:
    """One value for each layer: those of a sequence, or the same value for all.

    Raises:
        OutOfRange: a sequence of another length.
    """
    if not isinstance(value, list | tuple):
        return (value,) * layers  # pyright: ignore[reportReturnType]
    if len(value) != layers:
        raise OutOfRange(f"{name}: expected one value or {layers} (one a layer), got {len(value)}")
    return tuple(value)


def per_species(name: str, value: PerSpecies, n_species: int) -> tuple[float, ...]:
    """`value` for each of `n_species` species, in order of atomic number."""
    if isinstance(value, int | float):
        return (float(value),) * n_species
    if len(value) != n_species:
        raise ValueError(f"{name}: expected one number or {n_species} (one a species), got {len(value)}")
    return tuple(float(v) for v in value)
