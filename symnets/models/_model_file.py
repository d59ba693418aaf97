"""One checked file of a model's weights and the recipe that rebuilds it, for any list of classes.

Save and load force fields as one checked file of weights and their description.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import symnets
from symnets.data import read_archive, read_header, write_archive
from symnets.models._force_field import Compiled, ForceField
from symnets.models._invariant import Invariant
from symnets.models._mace import MACE
from symnets.models._nequip import NequIP
from symnets.models._sevennet import SevenNet
from symnets.models._zbl import WithZBL

Classes = Mapping[str, type[nn.Module]]
"""What a file may ask for, by name; nothing else is ever constructed."""

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def by_name(classes: Iterable[type[nn.Module]]) -> Classes:
    """Classes and their names."""
    return {known.__name__: known for known in classes}


def recipe(model: nn.Module, classes: Classes) -> dict[str, Any]:
    """Class and arguments that rebuild a model, wrapped models within, as plain JSON.

    Raises:
        ValueError: for a module of none of the classes.
    """
    name = type(model).__name__
    if classes.get(name) is not type(model):
        raise ValueError(f"expected one of {sorted(classes)}, got {name}; save its state_dict yourself")
    config: Mapping[str, Any] = model.config  # pyright: ignore[reportAssignmentType]
    arguments = {k: recipe(v, classes) if isinstance(v, nn.Module) else v for k, v in config.items()}
    return {"class": name, "arguments": arguments}


def build(description: Mapping[str, Any], classes: Classes) -> nn.Module:
    """The model of a recipe, with fresh weights."""
    name = str(description.get("class"))
    if name not in classes:
        raise ValueError(f"the file asks for the model {name!r}; this symnets knows {sorted(classes)}")
    arguments = description.get("arguments")
    if not isinstance(arguments, Mapping):
        raise ValueError(f"the file's arguments of {name}: expected names and values, got {arguments!r:.80}")
    arguments = {k: build(v, classes) if isinstance(v, dict) else v for k, v in arguments.items()}
    try:
        return classes[name](**arguments)
    except TypeError as error:
        raise ValueError(
            f"the file's arguments do not fit {name}: {error}; was it saved by a newer symnets?"
        ) from error


def write_model(
    path: str | Path, kind: str, model: nn.Module, classes: Classes, extra: Mapping[str, Any] | None
) -> None:
    """Write weights, buffers and recipe to one file, atomically.

    Args:
        path: the file.
        kind: of model, such as "image net"; `read_model` asks for it.
        model: of one of the classes, wrapped models too.
        classes: that `read_model` will know.
        extra: more to keep in the header.
    """
    description = recipe(model, classes)
    dtype = str(next(p.dtype for p in model.parameters() if p.is_floating_point())).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise ValueError(f"model: expected weights of {sorted(_DTYPES)}, got {dtype}")
    header = {
        "recipe": description,
        "dtype": dtype,
        "versions": {"symnets": symnets.__version__, "torch": torch.__version__},
        "extra": dict(extra or {}),
    }
    write_archive(path, kind, model.state_dict(), header)


def read_model(path: str | Path, kind: str, classes: Classes) -> nn.Module:
    """The model of a file, on the CPU, of the dtype it was saved in; torch's random state is left as found.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, altered, of another kind, or asks for an unknown class.
    """
    tensors, header = read_archive(path, kind)
    if not isinstance(header, dict) or not isinstance(header.get("recipe"), dict) or "dtype" not in header:
        raise ValueError(f"{path}: its header does not describe a model; was it saved by a newer symnets?")
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, to be replaced
        model = build(header["recipe"], classes)
    if str(header["dtype"]) not in _DTYPES:
        raise ValueError(f"{path}: expected a dtype of {sorted(_DTYPES)}, got {header['dtype']!r}")
    model.to(_DTYPES[header["dtype"]])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: weights do not fit the model it describes: {error}") from error
    return model


_CLASSES = by_name((Compiled, ForceField, Invariant, MACE, NequIP, SevenNet, WithZBL))


def save(model: ForceField, path: str | Path, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write a force field to one file, atomically.

    Args:
        model: the force field.
        path: such as "model.safetensors".
        extra: more to keep in the header, such as the training configuration.
    """
    write_model(path, "model", model, _CLASSES, extra)


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
    model = read_model(path, "model", _CLASSES)
    if not isinstance(model, ForceField):
        raise ValueError(f"{path}: expected a ForceField, got {type(model).__name__}")
    return model.to(device=device, dtype=dtype).eval()


def describe(path: str | Path) -> dict[str, Any]:
    """Header of a model file: recipe, dtype, versions, extra."""
    return read_header(path, "model")
