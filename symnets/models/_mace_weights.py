"""Weights and settings of models of mace-torch, and the symnets model built from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.models._e3nn_weights import copy_blocks, flat_blocks, sorted_by_path
from symnets.models._mace import MACE
from symnets.models._zbl import WithZBL
from symnets.nn import BesselBasis, ManyBodyInteraction, TransformedBasis
from symnets.ops import symmetric_basis


@dataclass(frozen=True)
class MACELayer:
    """Irreps and paths of an interaction block of mace-torch, in the order of its weight arrays."""

    features: str
    """Irreps of the input."""
    sums: str
    """Irreps of the sums over neighbours."""
    out: str
    """Irreps of the output."""
    paths: tuple[tuple[int, int, str], ...]
    """For each path of the convolution: index of the features' irrep, degree of the spherical harmonic, irrep
    of the output."""
    mean_neighbors: float
    """Number by which mace-torch divides sums over neighbours; 1 with density normalisation."""


@dataclass(frozen=True)
class MACEWeights:
    """Weights and settings of one head of a model of mace-torch."""

    species: tuple[int, ...]
    """Atomic numbers in the order of mace-torch's one-hot encoding."""
    arguments: Mapping[str, Any]
    """Arguments of `MACE`, except species, shift and scale."""
    shift: tuple[float, ...]
    """Energy of an isolated atom of each species plus the shift of the head, eV."""
    scale: float
    """Factor of the network's contribution, eV."""
    repulsion: Mapping[str, Any] | None
    """Arguments of `WithZBL`, if the model has a pair repulsion."""
    layers: tuple[MACELayer, ...]
    arrays: Mapping[str, Tensor]
    """Weights in float64: "embedding", "transform", "frequencies", "readout.0", ...; and those of each layer,
    such as "0.before" and "0.radial.1", which `_fill` reads."""

    def model(self, dtype: torch.dtype, species: Sequence[int] | None = None) -> nn.Module:
        """The symnets model with the same energies, of all or some of the species."""
        kept = sorted(self.species if species is None else species)
        order = [self.species.index(z) for z in kept]
        with torch.random.fork_rng(devices=[]):  # random initial weights are replaced below
            shift = [self.shift[i] for i in order]
            model = MACE(kept, shift=shift, scale=self.scale, **self.arguments).double()
        with torch.no_grad():
            # e3nn divides by the square root of the fan-in, which includes the number of one-hot species.
            model.embedding.copy_(self.arrays["embedding"][order] * len(self.species) ** -0.5)
            model.atomic_energy.scale.fill_(self.scale)  # in float64; the constructor rounds to float32
            self._fill_basis(model.edges.basis)
            for number, interaction in enumerate(model.interactions):
                self._fill(number, interaction, order)  # pyright: ignore[reportArgumentType]
            for number, readout in enumerate(model.readouts):
                (weight,) = readout.weights  # pyright: ignore[reportGeneralTypeIssues]
                weight.copy_(self.arrays[f"{number}.readout"])
            for depth, weight in enumerate(model.last_readout.weights):
                weight.copy_(self.arrays[f"readout.{depth}"])
        energy_model = model if self.repulsion is None else WithZBL(model, **self.repulsion)
        return energy_model.to(dtype)

    def _fill_basis(self, basis: nn.Module) -> None:
        """Copy the frequencies of Bessel functions and the constants of a transform."""
        functions = basis
        if isinstance(basis, TransformedBasis):
            basis.transform.constants.copy_(self.arrays["transform"])
            functions = basis.functions
        if isinstance(functions, BesselBasis):
            functions.frequencies.copy_(self.arrays["frequencies"])

    def _fill(self, number: int, interaction: ManyBodyInteraction, order: list[int]) -> None:
        """Copy the weights of layer `number`."""
        layer = self.layers[number]
        features, sums, out = map(o3.Irreps, (layer.features, layer.sums, layer.out))
        arrays = {
            name.removeprefix(f"{number}."): array
            for name, array in self.arrays.items()
            if name.startswith(f"{number}.")
        }
        n_species, channels = len(self.species), features[0].mul
        copy_blocks(interaction.before, flat_blocks(arrays["before"], features, features))
        after = self._fill_convolution(layer, interaction, arrays)
        skip = arrays["skip"] * n_species**-0.5  # the fan-in of one-hot species, as for the embedding
        if interaction.self_connection is None:
            # mace-torch has two linear layers here, one for all species and one for each; symnets has one.
            by_species = flat_blocks(skip * channels**-0.5, sums, sums, n_species)
            after = {ir: block @ by_species[ir].movedim(1, 0)[order] for ir, block in after.items()}
        else:
            by_species = flat_blocks(skip, features, out, n_species)
            copy_blocks(
                interaction.self_connection,
                {ir: block.movedim(1, 0)[order] for ir, block in by_species.items()},
            )
        copy_blocks(interaction.after, after)
        product = interaction.product
        product.weights.copy_(arrays["product"][order] / product.factors)
        copy_blocks(interaction.mix, flat_blocks(arrays["mix"], out, out))
        if interaction.density is not None:
            interaction.density.network.weights[0].copy_(self._radial(arrays["density"]))

    def _fill_convolution(
        self, layer: MACELayer, interaction: ManyBodyInteraction, arrays: Mapping[str, Tensor]
    ) -> dict[o3.Irrep, Tensor]:
        """Copy the radial weights of a layer, and return those of the linear layer that follows."""
        convolution, features = interaction.convolution, o3.Irreps(layer.features)
        number_of = {(features[i].ir, degree, out): n for n, (i, degree, out) in enumerate(layer.paths)}
        plan = convolution.product.plan
        numbers = [
            number_of[plan.irreps_in[i].ir, plan.irreps_filter[j].ir.l, str(plan.slots[slot].ir)]
            for i, j, slot in plan.paths
        ]
        *hidden, last = convolution.radial.weights
        for depth, weight in enumerate(hidden):
            array = arrays[f"radial.{depth}"]
            weight.copy_(array if depth else self._radial(array))
        array = arrays[f"radial.{len(hidden)}"]
        outputs = o3.Irreps([(features[i].mul, out) for i, _, out in layer.paths])
        after = flat_blocks(arrays["after"], outputs.simplify(), o3.Irreps(layer.sums))
        matrix, after = sorted_by_path(array, after, outputs, numbers)
        last.copy_(matrix if hidden else self._radial(matrix))
        # mace-torch divides by the number of neighbours, symnets by its square root.
        return {ir: layer.mean_neighbors**-0.5 * block for ir, block in after.items()}

    def _radial(self, weights: Tensor) -> Tensor:
        """Weights that read the radial basis, adapted to the factor of Bessel functions.

        This factor is (2/r_c)^(1/2) in mace-torch and 2/r_c in symnets, with the cutoff r_c.
        """
        if self.arguments["radial_basis"] != "bessel":
            return weights
        return weights * (self.arguments["cutoff"] / 2) ** 0.5


def product_weights(
    tensors: Float[Tensor, "..."],
    weights: Float[Tensor, "species paths channels"],
    irreps: o3.Irreps,
    degree: int,
    irrep_out: o3.Irrep,
) -> Float[Tensor, "species basis channels"]:
    """Weights of `symmetric_basis` that give the same polynomial as weights of mace-torch's tensors U.

    The tensors U of different paths are linearly dependent, or not symmetric, but each is equivariant. Once
    symmetrised, each is a linear combination of the basis, whose coefficients solve a least-squares problem
    without residual.

    Args:
        tensors: U, of shape (2L + 1, n, ..., n, paths) with n = `irreps.dim`, as many times as the degree;
            without the first axis if the degree L of `irrep_out` is 0.
        weights: weights of the paths of U.
        irreps: irreps of one channel of the features.
        degree: number of factors of the product, which are the axes of U contracted with the features.
        irrep_out: irrep of the product.

    Raises:
        ValueError: the tensors are not equivariant.
    """
    n, n_paths = irreps.dim, tensors.shape[-1]
    rounding = torch.finfo(tensors.dtype).eps
    basis = symmetric_basis(irreps, degree, irrep_out)
    u = tensors.double().reshape(irrep_out.dim, n**degree, n_paths)
    # The monomial of each tuple of components, by the rank of the sorted tuple.
    sorted_tuples = torch.cartesian_prod(*[torch.arange(n)] * degree).view(-1, degree).sort(dim=1).values
    codes = (sorted_tuples * n ** torch.arange(degree - 1, -1, -1)).sum(1)
    _, monomial = codes.unique(return_inverse=True)  # lexicographic, as those of the basis
    polynomials = u.new_zeros(irrep_out.dim, basis.shape[2], n_paths).index_add(1, monomial, u).flatten(0, 1)
    columns = basis.flatten(1).T
    if len(basis):
        coefficients = torch.linalg.lstsq(columns, polynomials).solution
    else:
        coefficients = u.new_zeros(0, n_paths)
    residual = (columns @ coefficients - polynomials).abs().max()
    if residual > 1e4 * rounding * polynomials.abs().max():
        raise ValueError(
            f"products of degree {degree} into {irrep_out}: expected equivariant tensors; in the equivariant "
            f"basis an error of {float(residual):.2g} remains, with components up to "
            f"{float(polynomials.abs().max()):.2g}"
        )
    return torch.einsum("pk,skc->spc", coefficients, weights.double())
