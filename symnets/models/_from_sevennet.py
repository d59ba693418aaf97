"""from_sevennet: conversion of SevenNet checkpoints, published or your own, to symnets force fields."""

import warnings
from pathlib import Path
from typing import Any

import torch

from symnets.models._force_field import ForceField
from symnets.models._sevennet_weights import SevenNetLayer, SevenNetWeights

_SUPPORTED = {
    "interaction_type": ("nequip",),
    "use_bias_in_linear": (False,),
    "readout_as_fcn": (False,),
    "act_radial": ("silu",),
    "act_scalar": ({"e": "silu", "o": "tanh"},),
    "act_gate": ({"e": "silu", "o": "tanh"},),
    "self_connection_type": ("linear", "nequip"),
}
"""Settings of a checkpoint, with the values that symnets' `SevenNet` can represent."""
_NOT_WEIGHTS = ("output_mask", "_w3j")
"""Entries of SevenNet's state dict whose names contain one of these are constants, not weights."""


def from_sevennet(
    checkpoint: str | Path, *, modality: str | None = None, dtype: torch.dtype = torch.float32
) -> ForceField:
    """Convert a SevenNet checkpoint to a symnets force field, in evaluation mode.

    SevenNet's own loader builds the network, then its weights are copied. `save` writes the force field to a
    symnets file, which is read without SevenNet. In float64 both codes give the same energies and forces up
    to rounding.

    A SevenNet checkpoint is a pickle, and loading a pickle runs the code in it. Load only checkpoints that
    you trust.

    Args:
        checkpoint: "7net-0", "7net-0_22may2024", "7net-l3i5" or "7net-mf-0", which come with SevenNet;
            another name of SevenNet's, whose checkpoint it downloads; or the path of a checkpoint.
        modality: level of theory (fidelity) whose energies and forces the force field gives, such as "PBE" or
            "R2SCAN" for 7net-mf-0; required for a network of several fidelities, and an error for
            others.
        dtype: dtype of weights and arithmetic; published weights are float32, which float64 represents
            exactly.

    Raises:
        ModuleNotFoundError: SevenNet is not installed.
        ValueError: there is no such checkpoint; `SevenNet` cannot represent it; `modality` is missing,
            unknown, or given for a network without fidelities.
        OSError: SevenNet could not download the checkpoint or store it; or a file cannot be read.

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
        try:
            sevennet_checkpoint = load_checkpoint(checkpoint)
        except OSError as error:  # `requests` raises it too
            if Path(checkpoint).is_file():
                raise
            raise OSError(
                f"{checkpoint}: SevenNet could not download this checkpoint, or store it: {error}. Try "
                "again, or download it yourself and give its path"
            ) from error
        config = sevennet_checkpoint.config
        _check(config)
        number = _number_of(modality, config)
        weights = read_weights(sevennet_checkpoint.build_model(), config, number)
    return ForceField(weights.model(dtype)).eval()


def read_weights(net: Any, config: dict[str, Any], modality: int = 0) -> SevenNetWeights:
    """Weights of a network that SevenNet has built, for one of its fidelities.

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
    n_modalities = len(_modalities(config))
    arguments = {
        "cutoff": float(config["cutoff"]),
        "irreps": tuple(irreps),
        "lmax": embedding.spherical.irreps_out.lmax,
        "parity": bool(config["is_parity"]),
        "n_basis": embedding.basis_function.num_basis,
        "switch_on": getattr(cutoff_function, "r_on", None),
        "envelope_order": getattr(cutoff_function, "p", 6),
        "radial_hidden": tuple(config["weight_nn_hidden_neurons"]),
        "species_self_connection": "nequip" in config["self_connection_type"],
        "solid_harmonics": not config["_normalize_sph"],
        "bias": n_modalities > 0,
        "mean_neighbors": tuple(mean_neighbors),
    }
    species = sorted(config["_type_map"], key=config["_type_map"].__getitem__)
    arrays = {
        name: array.detach().clone()
        for name, array in net.state_dict().items()
        if array.numel() and not any(part in name for part in _NOT_WEIGHTS)
    }
    arrays.setdefault("edge_embedding.basis_function.coeffs", embedding.basis_function.coeffs)
    return SevenNetWeights(tuple(species), arguments, tuple(layers), arrays, modality, n_modalities)


def _modalities(config: dict[str, Any]) -> dict[str, int]:
    """Index of each fidelity by its name; empty for a network without fidelities."""
    return dict(config["_modal_map"]) if config.get("use_modality") else {}


def _number_of(modality: str | None, config: dict[str, Any]) -> int:
    """Index of the fidelity `modality`, which must be given if and only if the network has several."""
    known = _modalities(config)
    if modality is None and not known:
        return 0
    if modality in known:
        return known[modality]
    if not known:
        raise ValueError(f"modality: this network has no fidelities to choose from, got {modality!r}")
    raise ValueError(
        f"modality: this network has the fidelities {', '.join(known)}; choose one, such as "
        f"modality={next(iter(known))!r}, got {modality!r}"
    )


def _check(config: dict[str, Any]) -> None:
    """Raise ValueError for a configuration that `SevenNet` cannot represent."""
    for name, allowed in _SUPPORTED.items():
        value = config[name]
        kinds = set(value) if isinstance(value, list) else {str(value)}
        if not kinds <= {str(v) for v in allowed} or len(kinds) > 1:
            raise ValueError(f"the checkpoint has {name} = {value}; symnets can represent {allowed}")


def _scalars_first(irreps: Any) -> str:
    """Irreps with even scalars first, as `Gate` needs them; e3nn sorts odd scalars first."""
    return "+".join(str(block) for block in sorted(irreps, key=lambda block: str(block.ir) != "0e"))
