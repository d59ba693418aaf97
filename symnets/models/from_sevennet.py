"""from_sevennet: SevenNet's published and own checkpoints as symnets force fields."""

import warnings
from pathlib import Path
from typing import Any

import torch

from symnets.models.force_field import ForceField
from symnets.models.sevennet_weights import SevenNetLayer, SevenNetWeights

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

    SevenNet's own loader builds the net once, then the numbers are taken over; `save` writes them to
    symnets' own file, which needs SevenNet no more. In float64 both give the same energies and forces
    up to rounding.

    A SevenNet checkpoint is a pickle: loading one runs the code in it. Load those you trust.

    Args:
        checkpoint: "7net-0" or "7net-l3i5", which come with SevenNet, or the path of a checkpoint.
        dtype: of weights and arithmetic; published weights are float32, so float64 holds them exactly.

    Raises:
        ModuleNotFoundError: SevenNet is not installed.
        ValueError: no such checkpoint, or a net that `SevenNet` cannot express, e.g. a multi-fidelity one.

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
        warnings.simplefilter("ignore")  # e3nn's of TorchScript, hundreds of times
        peer = load_checkpoint(checkpoint)
        config = peer.config
        _check(config)
        weights = read_weights(peer.build_model(), config)
    return ForceField(weights.model(dtype)).eval()


def read_weights(net: Any, config: dict[str, Any]) -> SevenNetWeights:
    """Numbers of a net that SevenNet has built, as it computes with them.

    Not of its file: in older ones the radial weights are in another order and some signs differ, which
    SevenNet mends while it builds.
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
        raise ValueError("the checkpoint is a multi-fidelity net, which symnets cannot express")
    for name, allowed in _MUST_BE.items():
        value = config[name]
        kinds = set(value) if isinstance(value, list) else {str(value)}
        if not kinds <= {str(v) for v in allowed} or len(kinds) > 1:
            raise ValueError(f"the checkpoint has {name} = {value}; symnets can express {allowed}")


def _scalars_first(irreps: Any) -> str:
    """Even scalars to the front, where `Gate` wants them; e3nn sorts odd ones before them."""
    return "+".join(str(block) for block in sorted(irreps, key=lambda block: str(block.ir) != "0e"))
