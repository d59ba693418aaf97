"""Save and load force fields as one checked file of weights and their description."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from symnets.data.archive import read_header
from symnets.models.compiled import Compiled
from symnets.models.force_field import ForceField
from symnets.models.invariant import Invariant
from symnets.models.mace import MACE
from symnets.models.model_file import by_name, read_model, write_model
from symnets.models.nequip import NequIP
from symnets.models.sevennet import SevenNet
from symnets.models.zbl import WithZBL

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
