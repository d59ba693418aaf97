"""Save and load force fields as one checked file of weights and their description."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import symnets
from symnets.data.archive import read_archive, read_header, write_archive
from symnets.models.compiled import Compiled
from symnets.models.force_field import ForceField
from symnets.models.invariant import Invariant
from symnets.models.nequip import NequIP
from symnets.models.sevennet import SevenNet
from symnets.models.zbl import WithZBL

# What a file may ask for; nothing else is ever constructed.
_CLASSES: dict[str, type[nn.Module]] = {
    c.__name__: c for c in (Compiled, ForceField, Invariant, NequIP, SevenNet, WithZBL)
}

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def recipe(model: nn.Module) -> dict[str, Any]:
    """Class and arguments that rebuild a model, wrapped models within, as plain JSON.

    Raises:
        ValueError: for a module that is not one of symnets' own.
    """
    name = type(model).__name__
    if _CLASSES.get(name) is not type(model):
        raise ValueError(f"expected one of {sorted(_CLASSES)}, got {name}; save its state_dict yourself")
    config: Mapping[str, Any] = model.config  # pyright: ignore[reportAssignmentType]
    arguments = {k: recipe(v) if isinstance(v, nn.Module) else v for k, v in config.items()}
    return {"class": name, "arguments": arguments}


def build(description: Mapping[str, Any]) -> nn.Module:
    """The model of a recipe, with fresh weights."""
    name = description.get("class")
    if name not in _CLASSES:
        raise ValueError(f"the file asks for the model {name!r}; this symnets knows {sorted(_CLASSES)}")
    arguments = {k: build(v) if isinstance(v, dict) else v for k, v in description["arguments"].items()}
    try:
        return _CLASSES[name](**arguments)
    except TypeError as error:
        raise ValueError(
            f"the file's arguments do not fit {name}: {error}; was it saved by a newer symnets?"
        ) from error


def save(model: ForceField, path: str | Path, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write a force field to one file, atomically.

    Args:
        model: the force field.
        path: such as "model.safetensors".
        extra: more to keep in the header, such as the training configuration.
    """
    description = recipe(model)
    dtype = str(next(p.dtype for p in model.parameters() if p.is_floating_point())).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise ValueError(f"model: expected weights of {sorted(_DTYPES)}, got {dtype}")
    header = {
        "recipe": description,
        "dtype": dtype,
        "versions": {"symnets": symnets.__version__, "torch": torch.__version__},
        "extra": dict(extra or {}),
    }
    write_archive(path, "model", model.state_dict(), header)


def load(
    path: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> ForceField:
    """Read a force field, in eval mode.

    Args:
        path: a file written by `save`.
        device: where to put it.
        dtype: of weights and arithmetic; by default as it was saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, altered, or no symnets model.
    """
    tensors, header = read_archive(path, "model")
    model = build(header["recipe"])
    if not isinstance(model, ForceField):
        raise ValueError(f"{path}: expected a ForceField, got {type(model).__name__}")
    if header["dtype"] not in _DTYPES:
        raise ValueError(f"{path}: expected a dtype of {sorted(_DTYPES)}, got {header['dtype']!r}")
    model.to(_DTYPES[header["dtype"]])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: weights do not fit the model it describes: {error}") from error
    return model.to(device=device, dtype=dtype).eval()


def describe(path: str | Path) -> dict[str, Any]:
    """Header of a model file: recipe, dtype, versions, extra."""
    return read_header(path, "model")
