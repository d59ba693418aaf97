"""from_mace: conversion of models of mace-torch, published or your own, to symnets force fields."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from symnets.models._force_field import ForceField
from symnets.models._mace_reader import read_weights
from symnets.nn import species_numbers


def from_mace(
    model: str | Path | nn.Module,
    *,
    head: str | None = None,
    species: Sequence[str | int] | None = None,
    dtype: torch.dtype = torch.float32,
) -> ForceField:
    """Convert a model of mace-torch to a symnets force field, in evaluation mode.

    It converts `MACE` and `ScaleShiftMACE` with the options of the published models MACE-MP-0, MPA-0, OMAT-0
    and OFF23: real agnostic interaction blocks with and without residuals and density normalisation, Bessel
    functions and Gaussians, Agnesi and soft transforms, ZBL pair repulsion, several heads. `save` writes the
    force field to a symnets file, which is read without mace-torch. In float64 both codes give the same
    energies and forces up to rounding, with one exception: where the covalent radii of two elements add up to
    more than the cutoff, symnets ends their pair repulsion at the cutoff.

    A `.model` file of mace-torch is a pickle, and loading a pickle runs the code in it. Load only files that
    you trust.

    Args:
        model: the path of a `.model` file, or a model that mace-torch has built or loaded.
        head: name of the head, needed if there are several, such as one for each level of theory.
        species: elements to keep; all by default. A model of fewer elements is smaller. With a distance
            transform, it also compiles to fewer tables, since there is one set for each pair of elements.
        dtype: dtype of weights and arithmetic; published weights are float32 or float64.

    Raises:
        ModuleNotFoundError: mace-torch is not installed.
        FileNotFoundError: there is no such file.
        ValueError: `MACE` cannot represent the model, which the message explains; or an unknown head or
            element.

    Example:
        force_field = from_mace("2023-12-03-mace-128-L1_epoch-199.model")
        save(force_field, "mace-mp-0-medium.safetensors")
    """
    if not isinstance(model, nn.Module):
        model = _load(Path(model))
    weights = read_weights(model, head)
    kept = weights.species if species is None else species_numbers(species)
    if absent := set(kept) - set(weights.species):
        raise ValueError(f"species: the model has no element {sorted(absent)}, only {list(weights.species)}")
    return ForceField(weights.model(dtype, kept)).eval()


def _load(path: Path) -> nn.Module:
    """Load a file of mace-torch, which runs its code."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file of mace-torch")
    try:
        import mace.modules  # noqa: F401 # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "mace-torch is needed to read its files: pip install 'symnets[mace]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of e3nn and torch on TorchScript
        return torch.load(path, map_location="cpu", weights_only=False)
