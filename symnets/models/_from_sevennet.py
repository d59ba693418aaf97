"""from_sevennet: conversion of SevenNet checkpoints, published or your own, to symnets force fields."""

import itertools
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from e3nn import o3
from torch import Tensor

from symnets.models._force_field import ForceField
from symnets.models._sevennet import SevenNet
from symnets.nn import Interaction, Linear, SpeciesLinear
from symnets.ops import all_paths


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
    """Weights of a network that SevenNet built from a checkpoint, and their order."""

    species: tuple[int, ...]
    """Atomic numbers in the order of SevenNet's one-hot embedding."""
    arguments: Mapping[str, Any]
    """Arguments of `SevenNet`, except species, shift and scale."""
    layers: tuple[SevenNetLayer, ...]
    arrays: Mapping[str, Tensor]
    """Weights by their names in SevenNet's state dict."""

    def model(self, dtype: torch.dtype) -> SevenNet:
        """The symnets model with the same energies.

        Both codes normalise with the same factors, so that weights are copied bit for bit. The exceptions are
        self-connections with weights for each species, which are multiplied by n_species^(-1/2).
        """
        order = sorted(range(len(self.species)), key=lambda i: self.species[i])
        shift, scale = (
            self._per_species(f"rescale_atomic_energy.{name}", order) for name in ("shift", "scale")
        )
        with torch.random.fork_rng(devices=[]):  # random initial weights are replaced below
            model = SevenNet(self.species, shift=shift, scale=scale, **self.arguments).to(dtype)
        with torch.no_grad():
            model.edges.basis.wave_numbers.copy_(self.arrays["edge_embedding.basis_function.coeffs"])  # pyright: ignore
            embedding = self.arrays["onehot_to_feature_x.linear.weight"]
            model.embedding.copy_(embedding.view(len(order), -1)[order])
            for number, (layer, interaction) in enumerate(zip(self.layers, model.interactions, strict=True)):
                self._fill(number, layer, interaction, order)  # pyright: ignore[reportArgumentType]
            for name, linear in zip(("input_to_hidden", "hidden_to_energy"), model.readout, strict=True):
                (weight,) = linear.weights  # pyright: ignore[reportGeneralTypeIssues]
                weight.copy_(self.arrays[f"reduce_{name}.linear.weight"].view_as(weight))
        return model

    def _per_species(self, name: str, order: list[int]) -> list[float]:
        """Values of an array for each species, in order of atomic number."""
        values = self.arrays[name].double()
        return (values.expand(len(order)) if values.numel() == 1 else values)[order].tolist()

    def _fill(self, number: int, layer: SevenNetLayer, interaction: Interaction, order: list[int]) -> None:
        """Copy the weights of interaction block `number`."""
        features, gate = o3.Irreps(layer.features), o3.Irreps(layer.gate)
        before, after = (self.arrays[f"{number}_self_interaction_{n}.linear.weight"] for n in (1, 2))
        _copy(interaction.before, _blocks(before, features, features))

        # The index in SevenNet of each path of symnets. SevenNet's radial weights are in the order of its
        # paths; those of the following linear layer are in the order of the paths into each output irrep.
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
        columns = radial.split([mul for mul, _ in outputs], dim=1)
        last.copy_(torch.cat([columns[n] for n in sevennet_paths], dim=1))
        mixing_weights = {}
        for ir, block in _blocks(after, outputs.simplify(), gate).items():
            paths_into_ir = [n for n, out in enumerate(outputs) if out.ir == ir]
            rows = dict(zip(paths_into_ir, block.split([outputs[n].mul for n in paths_into_ir]), strict=True))
            mixing_weights[ir] = torch.cat([rows[n] for n in sevennet_paths if n in rows])
        _copy(interaction.after, mixing_weights)

        name, n_species = f"{number}_self_connection_intro", len(order)
        if (array := self.arrays.get(f"{name}.linear.weight")) is not None:
            self_connection = {ir: block[None] for ir, block in _blocks(array, features, gate).items()}
        else:
            # In e3nn's product with the one-hot species the fan-in includes the number of species.
            array = self.arrays[f"{name}.fc_tensor_product.weight"].double() * n_species**-0.5
            self_connection = _blocks(array, features, gate, n_species)
            self_connection = {ir: block.movedim(1, 0)[order] for ir, block in self_connection.items()}
        _copy(interaction.self_connection, self_connection)


def _blocks(
    array: Tensor, irreps_in: o3.Irreps, irreps_out: o3.Irreps, *between: int
) -> dict[o3.Irrep, Tensor]:
    """e3nn's flat weights as arrays (mul_in, *between, mul_out) for each irrep of both input and output."""
    blocks, start = {}, 0
    for (mul_in, ir_in), (mul_out, ir_out) in itertools.product(irreps_in, irreps_out):
        if ir_in == ir_out:
            size = math.prod((mul_in, *between, mul_out))
            blocks[ir_in] = array[start : start + size].view(mul_in, *between, mul_out)
            start += size
    if start != array.numel():
        raise ValueError(f"expected {start} weights for {irreps_in} -> {irreps_out}, got {array.numel()}")
    return blocks


def _copy(layer: Linear | SpeciesLinear, blocks: Mapping[o3.Irrep, Tensor]) -> None:
    """Copy the weights of each irrep to a layer."""
    for weight, (_, ir) in zip(layer.weights, layer.irreps_out, strict=True):
        if ir in blocks:  # without an input of this irrep there is no weight
            weight.copy_(blocks[ir])


_SUPPORTED = {
    "interaction_type": ("nequip",),
    "use_bias_in_linear": (False,),
    "readout_as_fcn": (False,),
    "_normalize_sph": (True,),
    "act_radial": ("silu",),
    "act_scalar": ({"e": "silu", "o": "tanh"},),
    "act_gate": ({"e": "silu", "o": "tanh"},),
    "self_connection_type": ("linear", "nequip"),
}
"""Values of SevenNet's settings that `SevenNet` can represent."""
_NOT_WEIGHTS = ("output_mask", "_w3j")
"""Parts of the names of constants in SevenNet's state dict."""


def from_sevennet(checkpoint: str | Path, *, dtype: torch.dtype = torch.float32) -> ForceField:
    """Convert a SevenNet checkpoint to a symnets force field, in evaluation mode.

    SevenNet's own loader builds the network, then its weights are copied. `save` writes the force field to a
    symnets file, which is read without SevenNet. In float64 both codes give the same energies and forces up
    to rounding.

    A SevenNet checkpoint is a pickle, and loading a pickle runs the code in it. Load only checkpoints that
    you trust.

    Args:
        checkpoint: "7net-0" or "7net-l3i5", which come with SevenNet, or the path of a checkpoint.
        dtype: dtype of weights and arithmetic; published weights are float32, which float64 represents
            exactly.

    Raises:
        ModuleNotFoundError: SevenNet is not installed.
        ValueError: there is no such checkpoint, or `SevenNet` cannot represent it, such as a network of
            several fidelities.

    Example:
        force_field = from_sevennet("7net-0")
        save(force_field, "7net-0.safetensors")
    """
    try:
        from sevenn.util import load_checkpoint  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "SevenNet is needed to read its checkpoints: pip install 'symnets[sevennet]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hundreds of e3nn's warnings on TorchScript
        sevennet_checkpoint = load_checkpoint(checkpoint)
        config = sevennet_checkpoint.config
        _check(config)
        weights = read_weights(sevennet_checkpoint.build_model(), config)
    return ForceField(weights.model(dtype)).eval()


def read_weights(net: Any, config: dict[str, Any]) -> SevenNetWeights:
    """Weights of a network that SevenNet has built, and its configuration.

    Weights are not read from the checkpoint: in older ones the radial weights are in another order and some
    signs differ, which SevenNet corrects when it builds the network.
    """
    _check(config)
    embedding, n_layers = net._modules["edge_embedding"], config["num_convolution_layer"]
    layers, irreps, mean_neighbors = [], [], []
    for number in range(n_layers):
        convolution = net._modules[f"{number}_convolution"]
        gate = net._modules[f"{number}_equivariant_gate"].gate
        product = convolution.convolution_kwargs
        paths = [(i, j, str(product["irreps_out"][k].ir)) for i, j, k, *_ in product["instructions"]]
        layers.append(SevenNetLayer(str(product["irreps_in1"]), str(gate.irreps_in), tuple(paths)))
        irreps.append(_scalars_first(product["irreps_in1"]))
        mean_neighbors.append(float(convolution.denominator.double()) ** 2)
    irreps.append(_scalars_first(gate.irreps_out))
    cutoff_function = embedding.cutoff_function
    arguments = {
        "cutoff": float(config["cutoff"]),
        "irreps": tuple(irreps),
        "lmax": embedding.spherical.irreps_out.lmax,
        "parity": bool(config["is_parity"]),
        "n_basis": embedding.basis_function.num_basis,
        "switch_on": getattr(cutoff_function, "r_on", None),
        "envelope_order": getattr(cutoff_function, "p", 6),
        "radial_hidden": tuple(config["weight_nn_hidden_neurons"]),
        "species_self_connection": config["self_connection_type"] == "nequip",
        "mean_neighbors": tuple(mean_neighbors),
    }
    species = sorted(config["_type_map"], key=config["_type_map"].__getitem__)
    arrays = {
        name: array.detach().clone()
        for name, array in net.state_dict().items()
        if array.numel() and not any(part in name for part in _NOT_WEIGHTS)
    }
    arrays.setdefault("edge_embedding.basis_function.coeffs", embedding.basis_function.coeffs)
    return SevenNetWeights(tuple(species), arguments, tuple(layers), arrays)


def _check(config: dict[str, Any]) -> None:
    """Raise ValueError for a configuration that `SevenNet` cannot represent."""
    if config.get("use_modality"):
        raise ValueError("the checkpoint is a multi-fidelity net, which symnets cannot represent")
    for name, allowed in _SUPPORTED.items():
        value = config[name]
        kinds = set(value) if isinstance(value, list) else {str(value)}
        if not kinds <= {str(v) for v in allowed} or len(kinds) > 1:
            raise ValueError(f"the checkpoint has {name} = {value}; symnets can represent {allowed}")


def _scalars_first(irreps: Any) -> str:
    """Irreps with even scalars first, as `Gate` needs them; e3nn sorts odd scalars first."""
    return "+".join(str(block) for block in sorted(irreps, key=lambda block: str(block.ir) != "0e"))
