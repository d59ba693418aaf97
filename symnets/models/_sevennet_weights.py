"""Weights of a network of SevenNet, in SevenNet's order, and the symnets model built from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from e3nn import o3
from torch import Tensor

from symnets.models._e3nn_weights import copy_blocks, flat_blocks, sorted_by_path
from symnets.models._sevennet import SevenNet
from symnets.nn import Interaction, Linear
from symnets.ops import all_paths

_SCALAR = o3.Irrep("0e")


@dataclass(frozen=True)
class SevenNetLayer:
    """Irreps of an interaction block of SevenNet, in the order of its weight arrays."""

    features: str
    """Irreps of the input."""
    gate: str
    """Irreps of the gate's input, which is the output of the linear layers."""
    paths: tuple[tuple[int, int, str], ...]
    """For each path: index of the features' irrep, degree of the spherical harmonic, irrep of the output."""


@dataclass(frozen=True)
class SevenNetWeights:
    """Weights and settings of a network that SevenNet built from a checkpoint.

    A network of several fidelities, which are levels of theory (Kim et al. 2024, arXiv:2409.07947), appends
    the one-hot fidelity to the even scalars that some linear layers read. For a chosen fidelity the weights
    of this input are constants, which are added to the even scalars of the result.
    """

    species: tuple[int, ...]
    """Atomic numbers in the order of SevenNet's one-hot embedding; 0 for a row that belongs to no element."""
    arguments: Mapping[str, Any]
    """Arguments of `SevenNet`, except species, shift and scale."""
    layers: tuple[SevenNetLayer, ...]
    arrays: Mapping[str, Tensor]
    """Weights by their names in SevenNet's state dict."""
    modality: int = 0
    """Number of the chosen fidelity."""
    n_modalities: int = 0
    """Number of fidelities; 0 for a network without them."""

    def model(self, dtype: torch.dtype) -> SevenNet:
        """The symnets model with the same energies.

        Both codes normalise with the same factors, so that weights are copied bit for bit, with two
        exceptions: self-connections with weights for each species are multiplied by n_species^(-1/2), and
        layers that read the fidelity are rescaled, since their fan-in includes the number of fidelities.
        """
        order = sorted((i for i, z in enumerate(self.species) if z), key=lambda i: self.species[i])
        species = [self.species[i] for i in order]
        scale = self._per_species("scale", order)
        last = o3.Irreps(self.arguments["irreps"][-1])
        hidden = o3.Irreps([(last.dim // 2, _SCALAR)])
        first, constants = self._linear("reduce_input_to_hidden", last, hidden)
        second, _ = self._linear("reduce_hidden_to_energy", hidden, o3.Irreps("1x0e"))
        shift = self._per_species("shift", order)
        if constants is not None:  # they reach the energy through a linear layer, and add to its shift
            shift = shift + scale * (constants @ second[_SCALAR].double()).item() * hidden.dim**-0.5
        with torch.random.fork_rng(devices=[]):  # random initial weights are replaced below
            model = SevenNet(species, shift=shift.tolist(), scale=scale.tolist(), **self.arguments).to(dtype)
        with torch.no_grad():
            model.edges.basis.wave_numbers.copy_(self.arrays["edge_embedding.basis_function.coeffs"])  # pyright: ignore
            model.embedding.copy_(self._embedding(order))
            for number, (layer, interaction) in enumerate(zip(self.layers, model.interactions, strict=True)):
                self._fill(number, layer, interaction, order)  # pyright: ignore[reportArgumentType]
            for blocks, linear in zip((first, second), model.readout.children(), strict=True):
                copy_blocks(linear, blocks)  # pyright: ignore[reportArgumentType]
        return model

    def _per_species(self, name: str, order: list[int]) -> Tensor:
        """Shift or scale of each species, in order of atomic number, in float64."""
        values = self.arrays[f"rescale_atomic_energy.{name}"].double()
        if values.ndim == 2:  # one row for each fidelity
            values = values[self.modality]
        return (values.expand(len(self.species)) if values.numel() == 1 else values)[order]

    def _embedding(self, order: list[int]) -> Tensor:
        """Embedding of each species; `SevenNet` divides it by the square root of the number of species."""
        n_species = len(self.species)
        array = self.arrays["onehot_to_feature_x.linear.weight"]
        width = o3.Irreps(self.arguments["irreps"][0]).dim
        if array.numel() == n_species * width and len(order) == n_species:
            return array.view(n_species, width)[order]
        blocks, constants = self._linear(
            "onehot_to_feature_x", o3.Irreps([(n_species, _SCALAR)]), o3.Irreps([(width, _SCALAR)])
        )
        embedding = blocks[_SCALAR].double() * n_species**-0.5 + (0 if constants is None else constants)
        return embedding[order] * len(order) ** 0.5

    def _linear(
        self, name: str, irreps_in: o3.Irreps, irreps_out: o3.Irreps
    ) -> tuple[dict[o3.Irrep, Tensor], Tensor | None]:
        """Weights of a linear layer for each irrep, and its constants if it reads the fidelity."""
        array = self.arrays[f"{name}.linear.weight"]
        n_in, n_out = (sum(mul for mul, ir in irreps if ir == _SCALAR) for irreps in (irreps_in, irreps_out))
        expected = sum(a * b for a, ir in irreps_in for b, out in irreps_out if ir == out)
        if array.numel() != expected + self.n_modalities * n_out or not self.n_modalities:
            return flat_blocks(array, irreps_in, irreps_out), None
        blocks = flat_blocks(array[:expected], irreps_in, irreps_out)
        of_modality = array[expected:].view(self.n_modalities, n_out)[self.modality].double()
        fan_in = n_in + self.n_modalities
        blocks[_SCALAR] = blocks[_SCALAR].double() * (n_in / fan_in) ** 0.5
        return blocks, of_modality * fan_in**-0.5

    def _fill(self, number: int, layer: SevenNetLayer, interaction: Interaction, order: list[int]) -> None:
        """Copy the weights of interaction block `number`."""
        features, gate = o3.Irreps(layer.features), o3.Irreps(layer.gate)
        before, constants = self._linear(f"{number}_self_interaction_1", features, features)
        _copy(interaction.before, before, constants)

        # The index in SevenNet of each path of symnets.
        index_in_sevennet = {
            (features[i].ir, degree, out): n for n, (i, degree, out) in enumerate(layer.paths)
        }
        slots, paths = all_paths(
            interaction.irreps_in, interaction.convolution.irreps_filter, interaction.gate.irreps_in
        )
        sevennet_paths = [
            index_in_sevennet[interaction.irreps_in[i].ir, degree, str(slots[slot].ir)]
            for i, degree, slot in paths
        ]
        outputs = o3.Irreps([(features[i].mul, out) for i, _, out in layer.paths])
        *hidden, last = interaction.convolution.radial.weights
        name = f"{number}_convolution.weight_nn.layer"
        for depth, weight in enumerate(hidden):
            weight.copy_(self.arrays[f"{name}{depth}.weight"])
        radial = self.arrays[f"{name}{len(hidden)}.weight"]
        after, constants = self._linear(f"{number}_self_interaction_2", outputs.simplify(), gate)
        radial, after = sorted_by_path(radial, after, outputs, sevennet_paths)
        last.copy_(radial)
        _copy(interaction.after, after, constants)

        name, n_species = f"{number}_self_connection_intro", len(self.species)
        if (array := self.arrays.get(f"{name}.linear.weight")) is not None:
            self_connection = {ir: block[None] for ir, block in flat_blocks(array, features, gate).items()}
        else:
            # In e3nn's product with the one-hot species the fan-in includes the number of species.
            array = self.arrays[f"{name}.fc_tensor_product.weight"].double() * n_species**-0.5
            self_connection = flat_blocks(array, features, gate, n_species)
            self_connection = {ir: block.movedim(1, 0)[order] for ir, block in self_connection.items()}
        copy_blocks(interaction.self_connection, self_connection)


def _copy(layer: Linear, blocks: Mapping[o3.Irrep, Tensor], constants: Tensor | None) -> None:
    """Copy weights and constants to a layer."""
    copy_blocks(layer, blocks)
    if layer.bias is not None:
        layer.bias.copy_(torch.zeros_like(layer.bias) if constants is None else constants)
