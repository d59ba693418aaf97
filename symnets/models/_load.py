"""Load and describe models: symnets files, files of Nequix, and published models by name."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import nn

from symnets.data import read_kind
from symnets.device import on_device, usable_device
from symnets.models._force_field import ForceField
from symnets.models._foundation_file import NQX, foundation_file
from symnets.models._foundation_list import FOUNDATION_MODELS
from symnets.models._from_nequix import from_nequix
from symnets.models._model_file import (
    FORCE_FIELD,
    IMAGE_NET,
    KINDS,
    model_header,
    read_model,
    read_model_header,
)
from symnets.models._tensor_model import TensorModel

Model = TypeVar("Model", bound=nn.Module)


@overload
def load(
    path: str | os.PathLike[str],
    *,
    classes: Iterable[type[nn.Module]] = (),
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> nn.Module: ...


@overload
def load(
    path: str | os.PathLike[str],
    expected: type[Model],
    *,
    classes: Iterable[type[nn.Module]] = (),
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> Model: ...


def load(
    path: str | os.PathLike[str],
    expected: type[nn.Module] = nn.Module,
    *,
    classes: Iterable[type[nn.Module]] = (),
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Read a force field, a tensor model, a net on clouds or an image net, in eval mode.

    A published foundation model is loaded by its name, see `foundation_model`, and a file of Nequix by its
    path. No code of the file is run: it can only name classes of symnets, those in `classes`, and those whose
    import paths, such as "mine.nets:MyNet", are in the environment variable SYMNETS_CLASSES, separated by
    commas; a module is imported only if the file names its class. torch's random state is left as found.

    Args:
        path: a file written by `save`, an `.nqx` file of Nequix, or a name in `FOUNDATION_MODELS`.
        expected: class that the model must have, such as `ForceField`. For a tensor model with energies,
            `ForceField` returns the force field within it.
        classes: your own classes that the file may name.
        device: where to put the model, such as "cuda".
        dtype: dtype of weights and arithmetic; by default as saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, altered, no symnets model or not of the expected class; or it names
            an unknown class; or the device cannot be used.

    Example:
        force_field = load("model.safetensors", ForceField)
    """
    path, device = foundation_file(path), usable_device(device)
    kind = FORCE_FIELD if path.suffix == NQX else read_kind(path, *KINDS)
    with torch.inference_mode(False), on_device("cpu"):  # whatever the caller has set
        model = from_nequix(path) if path.suffix == NQX else read_model(path, kind, classes)
        model = model.to(device=device, dtype=dtype).eval()
    if isinstance(model, TensorModel) and expected is ForceField and model.force_field is not None:
        return model.force_field
    if not isinstance(model, expected):
        article = "an" if kind == IMAGE_NET else "a"
        name = "force field" if kind == FORCE_FIELD else kind
        raise ValueError(
            f"{path}: expected a model of class {expected.__name__}, got {article} {name}, "
            f"{type(model).__name__}"
        )
    return model


def describe(path: str | Path) -> dict[str, Any]:
    """Read the header of a model file: recipe, dtype, versions, extra. Weights are not read or checked.

    The header of a published model, or of a file of Nequix, is that of the symnets file `save` would write;
    its `extra` has the name, training set, level of theory, licence and citation of a published model as
    "foundation_model".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, altered, or no symnets model.
    """
    model, path = FOUNDATION_MODELS.get(str(path)), foundation_file(path)
    extra = {} if model is None else {"foundation_model": model.origin()}
    if path.suffix == NQX:
        return model_header(from_nequix(path), FORCE_FIELD, extra)
    header = read_model_header(path)
    return header | {"extra": header["extra"] | extra}


def foundation_model(name_or_path: str | os.PathLike[str], *, dtype: torch.dtype | None = None) -> ForceField:
    """Load a potential, published or your own, in evaluation mode.

    Weights of a published model are downloaded once into the user's cache, or converted once from the package
    that holds them; `symnets models` lists the names and how the weights are obtained. A name takes
    precedence over a file of that name in the current folder.

    No code of a model file is run. Only the conversion of a SevenNet model loads a pickle, the checkpoint in
    the installed package sevenn.

    Args:
        name_or_path: a name in `FOUNDATION_MODELS`, such as "nequix-oam-1"; or the path of a symnets model
            file, or of an `.nqx` file of Nequix.
        dtype: dtype of weights and arithmetic; by default as saved, and float32 for published weights, which
            float64 represents exactly.

    Raises:
        ValueError: a file that is truncated, altered, a pickle or not a force field.
        FileNotFoundError: there is no such file or name; or a published model has to be converted first.
        ModuleNotFoundError: the package that holds the weights is not installed.
        OSError: the download failed; the message says where to put the file.

    Example:
        force_field = foundation_model("nequix-oam-1")
    """
    return load(name_or_path, ForceField, dtype=dtype)
