"""MACE: a message-passing potential of many-body products."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial, reduce
from operator import add
from typing import Annotated, Any, Literal, get_args

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.config import OutOfRange, at_least, within
from symnets.data import AtomGraph
from symnets.models._energy_model import (
    Count,
    Cutoff,
    Degree,
    EnergyModel,
    PerSpecies,
    Widths,
    features_after_last_layer,
    per_layer,
)
from symnets.nn import (
    MLP,
    AgnesiTransform,
    AtomicEnergy,
    BesselBasis,
    EdgeGeometry,
    GaussianBasis,
    Linear,
    ManyBodyInteraction,
    SoftTransform,
    TransformedBasis,
    polynomial_envelope,
)

RadialFunctions = Literal["bessel", "gaussian"]
"""Families of radial basis functions."""
DistanceTransform = Literal["agnesi", "soft"]
"""Transforms of the distance, which depend on the covalent radii of the two atoms."""


class MACE(EnergyModel):
    """MACE potential: atomic energies from many-body products of sums over neighbours.

    The species embedding (scalars) is followed by `layers` interactions (`ManyBodyInteraction`). A layer
    correlates up to correlation + 1 atoms, so that two layers are enough. Each layer has a readout of its
    scalars, linear except for an MLP after the last layer; the energy is the sum of the readouts, up to a
    scale and shift for every species. All irreps have the parity of spherical harmonics, p = (-1)^l.

    The bases of the products are computed when the model is built. This takes a tenth of a second for
    lmax = 3 and correlation = 3, but minutes for lmax = 6, or for lmax = 4 and correlation = 4.

    `from_mace` converts models of mace-torch, published or your own.

    Source: Batatia et al. 2022, arXiv:2206.07697. Differences: linearly dependent paths of the products are
    left out, the first layer has a self-connection like the others by default, and sums over neighbours are
    divided by √mean_neighbors, not mean_neighbors.

    Args:
        species: elements, as symbols or atomic numbers.
        cutoff: Å; edges are between atoms closer than this.
        lmax: highest degree of spherical harmonics, and of the sums over neighbours.
        feature_lmax: highest degree of the features between layers, which are sent to neighbours.
        correlation: highest number of factors of a product: one number for all layers or one for each.
        channels: number of channels of each irrep.
        layers: number of interactions.
        n_basis: number of radial basis functions.
        radial_basis: "bessel" (`BesselBasis`) or "gaussian" (`GaussianBasis` with `wide=True`).
        envelope_order: order of the polynomial envelope.
        distance_transform: transform of the distance that the radial basis reads, which depends on the
            covalent radii of the two atoms: "agnesi" (`AgnesiTransform`) or "soft" (`SoftTransform`); None
            for the distance itself.
        radial_hidden: widths of the hidden layers of the radial networks.
        self_connection: whether a layer adds its input, mixed by weights for each species. A layer without
            self-connection mixes its sums over neighbours by weights for each species instead. One choice for
            all layers or one for each. If the first layer has no self-connection, the energy of an isolated
            atom is its shift.
        density_normalization: whether sums over neighbours are divided by 1 plus a trained smooth number of
            neighbours (`Density`), not by √mean_neighbors. One choice for all layers or one for each.
        readout_hidden: widths of the hidden layers of the last readout; () for a linear readout; None for one
            hidden layer with half as many units as channels.
        irreps_last: irreps of the features after the last layer, even scalars first, each irrep with the same
            number of channels, such as "64x0e+64x1o", for `Tensors`; None: scalars alone, which suffice for
            energies.
        mean_neighbors: average number of neighbours; sums over neighbours are divided by its square root.
        shift: eV, energy of each atom without the contribution of the network, about that of an isolated
            atom: one number for all species or one for each.
        scale: eV, factor of the network's contribution: one number for all species or one for each, such as
            the RMS of force components times 1 Å.

    Raises:
        ValueError: `irreps_last` has different numbers of channels, or an irrep that no product has; unknown
            radial functions, or an unknown transform.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        *,
        cutoff: Cutoff = 5.0,
        lmax: Degree = 3,
        feature_lmax: Degree = 1,
        correlation: Annotated[int | Sequence[int], within(1, 4)] = 3,
        channels: Count = 64,
        layers: Count = 2,
        n_basis: Count = 8,
        radial_basis: RadialFunctions = "bessel",
        envelope_order: Annotated[int, at_least(2)] = 6,
        distance_transform: DistanceTransform | None = None,
        radial_hidden: Widths = (64, 64),
        self_connection: bool | Sequence[bool] = True,
        density_normalization: bool | Sequence[bool] = False,
        readout_hidden: Widths | None = None,
        irreps_last: str | None = None,
        mean_neighbors: float = 12.0,
        shift: PerSpecies = 0.0,
        scale: PerSpecies = 1.0,
    ) -> None:
        super().__init__(
            species,
            cutoff,
            width=channels,
            mean_neighbors=mean_neighbors,
            shift=shift,
            scale=scale,
            options={
                "lmax": lmax,
                "feature_lmax": feature_lmax,
                "correlation": _tuple(correlation),
                "channels": channels,
                "layers": layers,
                "n_basis": n_basis,
                "radial_basis": radial_basis,
                "envelope_order": envelope_order,
                "distance_transform": distance_transform,
                "radial_hidden": tuple(radial_hidden),
                "self_connection": _tuple(self_connection),
                "density_normalization": _tuple(density_normalization),
                "readout_hidden": _tuple(readout_hidden),
                "irreps_last": irreps_last,
            },
        )
        for name, known in (("radial_basis", RadialFunctions), ("distance_transform", DistanceTransform)):
            if (value := self.config[name]) is not None and value not in get_args(known):
                raise ValueError(f"{name}: expected one of {', '.join(get_args(known))}, got {value!r}")
        self.edges = EdgeGeometry(cutoff, lmax, n_basis, basis=self._radial_basis())
        scalars = o3.Irreps(f"{channels}x0e")
        self.irreps_features = features_after_last_layer(irreps_last, scalars)
        if len({mul for mul, _ in self.irreps_features}) > 1:
            raise ValueError(
                "irreps_last: expected the same number of channels in each irrep, such as 64x0e+64x1o, got "
                f"{irreps_last!r}"
            )
        hidden = o3.Irreps([(channels, (l, (-1) ** l)) for l in range(feature_lmax + 1)])  # noqa: E741
        correlations = per_layer("correlation", correlation, layers)
        self_connections = per_layer("self_connection", self_connection, layers)
        densities = per_layer("density_normalization", density_normalization, layers)
        self.interactions = nn.ModuleList(
            ManyBodyInteraction(
                hidden if layer else scalars,
                self.edges.irreps_filter,
                hidden if layer < layers - 1 else self.irreps_features,
                correlation=correlations[layer],
                n_species=len(self.species),
                n_basis=n_basis,
                radial_hidden=radial_hidden,
                mean_neighbors=mean_neighbors,
                self_connection=self_connections[layer],
                density=densities[layer],
            )
            for layer in range(layers)
        )
        self.readouts = nn.ModuleList(Linear(hidden, "1x0e") for _ in range(layers - 1))
        n_scalars = self.irreps_features[0].mul
        widths = (max(n_scalars // 2, 1),) if readout_hidden is None else readout_hidden
        self.last_readout = MLP(n_scalars, *widths, 1)
        self.atomic_energy = AtomicEnergy(self.config["shift"], self.config["scale"])

    @staticmethod
    def check_options(options: Mapping[str, Any]) -> None:
        """Check that the options of a configuration agree with each other, before a model is built.

        Raises:
            OutOfRange: no product has the degree `feature_lmax`, or a sequence has a wrong length.
        """
        layers = options["layers"]
        for name in ("correlation", "self_connection", "density_normalization"):
            per_layer(name, options[name], layers)
        *correlations, _ = per_layer("correlation", options["correlation"], layers)
        highest = min(correlations, default=0) * options["lmax"]
        if layers > 1 and options["feature_lmax"] > highest:
            raise OutOfRange(
                "feature_lmax: expected at most correlation * lmax, the highest degree of a product, "
                f"{highest}, got {options['feature_lmax']}"
            )

    def _radial_basis(self) -> nn.Module:
        """Radial basis of the lengths of the edges, with its envelope and transform."""
        cutoff, n_basis, p = (self.config[name] for name in ("cutoff", "n_basis", "envelope_order"))
        transform = {"agnesi": AgnesiTransform, "soft": SoftTransform}.get(self.config["distance_transform"])
        # With a transform, `TransformedBasis` multiplies by the envelope, a function of the distance itself.
        envelope = partial(polynomial_envelope, p=p) if transform is None else torch.ones_like
        if self.config["radial_basis"] == "gaussian":
            functions = GaussianBasis(cutoff, n_basis, envelope=envelope, wide=True)
        else:
            functions = BesselBasis(cutoff, n_basis, p, envelope=envelope)
        if transform is None:
            return functions
        return TransformedBasis(functions, transform(), cutoff=cutoff, species=self.species, p=p)

    def features(self, graph: AtomGraph, species: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim"]:
        """Features of each atom after the last layer, of irreps `irreps_features`, in the `ir_mul` layout."""
        *_, features = self._features_by_layer(graph, species)
        return features

    def energy_and_features(
        self, graph: AtomGraph
    ) -> tuple[Float[Tensor, " atoms"], Float[Tensor, "atoms dim"]]:
        """Energy of each atom in eV, float64, a sum over the layers, and the features after the last."""
        species = self.species_index(graph.z)
        layers = self._features_by_layer(graph, species)
        outputs = [readout(next(layers)) for readout in self.readouts]
        features = next(layers)
        outputs.append(self.last_readout(features[:, : self.irreps_features[0].dim]))
        return self.atomic_energy(reduce(add, outputs).squeeze(-1), species), features

    def _features_by_layer(
        self, graph: AtomGraph, species: Int[Tensor, " atoms"]
    ) -> Iterator[Float[Tensor, "atoms dim"]]:
        edges, features = self.edges(graph), self.embedding[species]
        for interaction in self.interactions:
            features = interaction(features, edges, graph.edge_index, species)
            yield features


def _tuple(value: Any) -> Any:
    """Convert a list, as model files have it, to a tuple; other values are returned as they are."""
    return tuple(value) if isinstance(value, list) else value
