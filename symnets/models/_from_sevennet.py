"""from_sevennet: checkpoints of SevenNet, published or your own, as symnets force fields."""

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
    """Irreps of an interaction block of SevenNet, in the order of its arrays."""

    features: str
    """Irreps of the input."""
    gate: str
    """Irreps of the input of the gate, the output of the linear layers."""
    paths: tuple[tuple[int, int, str], ...]
    """Block of the features, degree of the spherical harmonic, irrep of the output, path by path."""


@dataclass(frozen=True)
class SevenNetWeights:
    """Weights of a net that SevenNet built from a checkpoint, and their order."""

    species: tuple[int, ...]
    """Atomic numbers in the order of its one-hot embedding."""
    arguments: Mapping[str, Any]
    """Arguments of `SevenNet`, except those that depend on the species."""
    layers: tuple[SevenNetLayer, ...]
    arrays: Mapping[str, Tensor]
    """Weights by their names in SevenNet's state dict."""

    def model(self, dtype: torch.dtype) -> SevenNet:
        """The symnets model with the same energies.

        Weights keep their bits, since both multiply them by the same factors. Only weights of
        self-connections for each species change by a factor.
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
        values = self.arrays[name].double()
        return (values.expand(len(order)) if values.numel() == 1 else values)[order].tolist()

    def _fill(self, number: int, layer: SevenNetLayer, ours: Interaction, order: list[int]) -> None:
        features, gate = o3.Irreps(layer.features), o3.Irreps(layer.gate)
        before, after = (self.arrays[f"{number}_self_interaction_{n}.linear.weight"] for n in (1, 2))
        _copy(ours.before, _blocks(before, features, features))

        # Numbers of our paths in SevenNet. Its radial weights are in the order of paths; those of the linear
        # layer that follows, in the order of the paths into each output irrep.
        known = {(features[i].ir, degree, out): n for n, (i, degree, out) in enumerate(layer.paths)}
        slots, paths = all_paths(ours.irreps_in, ours.convolution.irreps_filter, ours.gate.irreps_in)
        numbers = [known[ours.irreps_in[i].ir, degree, str(slots[slot].ir)] for i, degree, slot in paths]
        outputs = o3.Irreps([(features[i].mul, out) for i, _, out in layer.paths])
        *hidden, last = ours.convolution.radial.weights
        name = f"{number}_convolution.weight_nn.layer"
        for depth, weight in enumerate(hidden):
            weight.copy_(self.arrays[f"{name}{depth}.weight"])
        radial = self.arrays[f"{name}{len(hidden)}.weight"]
        columns = radial.split([mul for mul, _ in outputs], dim=1)
        last.copy_(torch.cat([columns[n] for n in numbers], dim=1))
        mixing = {}
        for ir, block in _blocks(after, outputs.simplify(), gate).items():
            same = [n for n, out in enumerate(outputs) if out.ir == ir]
            rows = dict(zip(same, block.split([outputs[n].mul for n in same]), strict=True))
            mixing[ir] = torch.cat([rows[n] for n in numbers if n in rows])
        _copy(ours.after, mixing)

        name, n_species = f"{number}_self_connection_intro", len(order)
        if (array := self.arrays.get(f"{name}.linear.weight")) is not None:
            alone = {ir: block[None] for ir, block in _blocks(array, features, gate).items()}
        else:
            # e3nn's product with the one-hot species counts the species into the fan-in.
            array = self.arrays[f"{name}.fc_tensor_product.weight"].double() * n_species**-0.5
            alone = _blocks(array, features, gate, n_species)
            alone = {ir: block.movedim(1, 0)[order] for ir, block in alone.items()}
        _copy(ours.self_connection, alone)


def _blocks(
    array: Tensor, irreps_in: o3.Irreps, irreps_out: o3.Irreps, *between: int
) -> dict[o3.Irrep, Tensor]:
    """e3nn's flat weights as (mul_in, mul_out) for each irrep that is in the input and in the output."""
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
    for weight, (_, ir) in zip(layer.weights, layer.irreps_out, strict=True):
        if ir in blocks:  # without an input of this irrep there is no weight
            weight.copy_(blocks[ir])


_MUST_BE = {
    "interaction_type": ("nequip",),
    "use_bias_in_linear": (False,),
    "readout_as_fcn": (False,),
    "_normalize_sph": (True,),
    "act_radial": ("silu",),
    "act_scalar": ({"e": "silu", "o": "tanh"},),
    "act_gate": ({"e": "silu", "o": "tanh"},),
    "self_connection_type": ("linear", "nequip"),
}
_DEAD = ("output_mask", "_w3j")


def from_sevennet(checkpoint: str | Path, *, dtype: torch.dtype = torch.float32) -> ForceField:
    """A SevenNet potential as a symnets force field, in eval mode.

    SevenNet's own loader builds the net once, then its weights are copied; `save` writes them to a
    symnets file, which is read without SevenNet. In float64 both give the same energies and forces
    up to rounding.

    A SevenNet checkpoint is a pickle: loading one runs the code in it. Load only those you trust.

    Args:
        checkpoint: "7net-0" or "7net-l3i5", which come with SevenNet, or the path of a checkpoint.
        dtype: of weights and arithmetic; published weights are float32, so float64 holds them exactly.

    Raises:
        ModuleNotFoundError: SevenNet is not installed.
        ValueError: no such checkpoint, or a net that `SevenNet` cannot represent, such as one of several
            fidelities.

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
        peer = load_checkpoint(checkpoint)
        config = peer.config
        _check(config)
        weights = read_weights(peer.build_model(), config)
    return ForceField(weights.model(dtype)).eval()


def read_weights(net: Any, config: dict[str, Any]) -> SevenNetWeights:
    """Weights of a net that SevenNet has built.

    They are not read from its file: in older files the radial weights are in another order and some signs
    differ, which SevenNet corrects when it builds the net.
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
        if array.numel() and not any(part in name for part in _DEAD)
    }
    arrays.setdefault("edge_embedding.basis_function.coeffs", embedding.basis_function.coeffs)
    return SevenNetWeights(tuple(species), arguments, tuple(layers), arrays)


def _check(config: dict[str, Any]) -> None:
    if config.get("use_modality"):
        raise ValueError("the checkpoint is a multi-fidelity net, which symnets cannot represent")
    for name, allowed in _MUST_BE.items():
        value = config[name]
        kinds = set(value) if isinstance(value, list) else {str(value)}
        if not kinds <= {str(v) for v in allowed} or len(kinds) > 1:
            raise ValueError(f"the checkpoint has {name} = {value}; symnets can represent {allowed}")


def _scalars_first(irreps: Any) -> str:
    """Irreps with even scalars first, as `Gate` needs them; e3nn sorts odd scalars first."""
    return "+".join(str(block) for block in sorted(irreps, key=lambda block: str(block.ir) != "0e"))
