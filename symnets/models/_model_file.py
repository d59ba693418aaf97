"""Model files: weights and the recipe that rebuilds a model, in one checked file that runs no code.

A file holds a force field (its kind is "model"), a tensor model ("tensor model"), a net on point clouds
("cloud net") or an image net ("image net").
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import symnets
from symnets.data import read_archive, read_header, read_kind, write_archive
from symnets.models._architectures import architectures, image_net_classes, is_image_net
from symnets.models._cloud_classifier import CloudClassifier
from symnets.models._force_field import Compiled, ForceField
from symnets.models._import_path import import_object
from symnets.models._linearized import Linearized
from symnets.models._on_clouds import OnClouds
from symnets.models._plain_point_net import PlainPointNet
from symnets.models._scaled import Scaled
from symnets.models._tensor_model import TensorModel
from symnets.models._tensors import Tensors
from symnets.models._zbl import WithZBL

Classes = Mapping[str, type[nn.Module]]

CLASSES = "SYMNETS_CLASSES"
"""Environment variable with import paths of classes that model files may name, separated by commas."""
FORCE_FIELD, CLOUD_NET, TENSOR_MODEL, IMAGE_NET = KINDS = "model", "cloud net", "tensor model", "image net"
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def save(model: nn.Module, path: str | Path, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write a force field, a tensor model, a net on clouds or an image net, with its buffers, to one file.

    The file appears whole or not at all. A model of a class of your own is saved too, if its `config` has the
    arguments of its constructor by name; pass the class to `load`.

    Args:
        model: a `ForceField`; a `TensorModel` or `Tensors`; a `CloudClassifier`, `PlainPointNet` or
            `OnClouds`; or an image net such as `image_net` makes.
        path: such as "model.safetensors".
        extra: further entries of the header, anything JSON can hold: the training configuration, or the data
            set and how its pixels were normalised.

    Raises:
        ValueError: the model is none of these, has no `config`, or has weights of another dtype than float32,
            float64 and bfloat16; or a class of your own has the name of a class of symnets.
    """
    if isinstance(model, ForceField):
        kind = FORCE_FIELD
    elif isinstance(model, TensorModel | Tensors):
        kind = TENSOR_MODEL
    elif isinstance(model, CloudClassifier | OnClouds | PlainPointNet):
        kind = CLOUD_NET
    elif is_image_net(type(model)):
        kind = IMAGE_NET
    else:
        raise ValueError(
            "model: expected a ForceField, a TensorModel, a CloudClassifier or an image net, got "
            f"{type(model).__name__}; wrap an energy model, ForceField(model); save the state_dict of other "
            "models yourself"
        )
    write_archive(path, kind, model.state_dict(), model_header(model, kind, extra or {}))


def model_header(model: nn.Module, kind: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Header of the file of a model: the recipe that rebuilds it, dtype, versions and `extra`."""
    recipe = _recipe(model, _known(kind))
    dtype = str(next(p.dtype for p in model.parameters() if p.is_floating_point())).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise ValueError(f"model: expected weights of {sorted(_DTYPES)}, got {dtype}")
    return {
        "recipe": recipe,
        "dtype": dtype,
        "versions": {"symnets": symnets.__version__, "torch": torch.__version__},
        "extra": dict(extra),
    }


def _known(kind: str, classes: Iterable[type[nn.Module]] = ()) -> Classes:
    """Classes that a file of this kind may name, by name, apart from those that `_own_class` finds."""
    if kind == IMAGE_NET:
        known = dict(image_net_classes())
    else:
        wrappers = (Compiled, ForceField, Linearized, Scaled, TensorModel, Tensors, WithZBL)
        on_clouds = (CloudClassifier, OnClouds, PlainPointNet)
        known = {cls.__name__: cls for cls in (*wrappers, *on_clouds)} | architectures()
    for cls in classes:
        if known.setdefault(cls.__name__, cls) is not cls:
            raise ValueError(f"classes: symnets has a class {cls.__name__} of its own; rename yours")
    return known


def _recipe(model: nn.Module, known: Classes) -> dict[str, Any]:
    """Class and arguments that rebuild a model and the models within it, as plain JSON."""
    name, config = type(model).__name__, getattr(model, "config", None)
    if not isinstance(config, Mapping):
        raise ValueError(
            f"model: expected `config`, the arguments of the constructor by name, got {name}; "
            "save its state_dict yourself"
        )
    if known.get(name, type(model)) is not type(model):
        raise ValueError(f"model: symnets has a class {name} of its own; rename yours")
    arguments = {k: _recipe(v, known) if isinstance(v, nn.Module) else v for k, v in config.items()}
    return {"class": name, "arguments": arguments}


def _build(recipe: Mapping[str, Any], known: Classes) -> nn.Module:
    """The model of a recipe, with fresh weights."""
    name = str(recipe.get("class"))
    if (cls := known.get(name) or _own_class(name)) is None:
        raise ValueError(
            f"the file asks for the model {name!r}; this symnets knows {sorted(known)}; for a class of your "
            f"own set the environment variable {CLASSES}=mine.module:{name}, whose module is then imported, "
            f"or pass it, load(path, classes=[{name}])"
        )
    arguments = recipe.get("arguments")
    if not isinstance(arguments, Mapping):
        raise ValueError(f"the file's arguments of {name}: expected names and values, got {arguments!r:.80}")
    arguments = {k: _build(v, known) if _is_recipe(v) else v for k, v in arguments.items()}
    try:
        return cls(**arguments)
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"the file's arguments do not fit {name}: {error}; was it saved by a newer symnets?"
        ) from error


def _is_recipe(value: Any) -> bool:
    return isinstance(value, dict) and "class" in value


def _own_class(name: str) -> type[nn.Module] | None:
    """The class of this name among those that the user names in the environment; no other is imported."""
    for path in os.environ.get(CLASSES, "").split(","):
        if re.split("[.:]", path.strip())[-1] == name:
            cls = import_object(path.strip())
            if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
                raise ValueError(
                    f"{CLASSES}: expected {path} to be a class of torch.nn.Module, got {cls!r:.80}"
                )
            return cls
    return None


def read_model(path: Path, kind: str, classes: Iterable[type[nn.Module]]) -> nn.Module:
    """The model of a file that `save` wrote, on the CPU, in the dtype it was saved in."""
    tensors, header = read_archive(path, kind)
    _checked(path, header)
    with torch.random.fork_rng(devices=[]):  # random initial weights are replaced below
        model = _build(header["recipe"], _known(kind, classes))
    model.to(_DTYPES[header["dtype"]])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: weights do not fit the model it describes: {error}") from error
    return model


def read_model_header(path: Path) -> dict[str, Any]:
    """Header of a file that `save` wrote, without reading its weights."""
    return _checked(path, read_header(path, read_kind(path, *KINDS)))


def _checked(path: str | Path, header: Any) -> dict[str, Any]:
    """The header, if it has the parts that `save` writes, each of its type."""
    parts = {"recipe": dict, "dtype": str, "versions": dict, "extra": dict}
    if not isinstance(header, dict) or not all(isinstance(header.get(k), v) for k, v in parts.items()):
        raise ValueError(f"{path}: its header does not describe a model; was it saved by a newer symnets?")
    if header["dtype"] not in _DTYPES:
        raise ValueError(f"{path}: expected a dtype of {sorted(_DTYPES)}, got {header['dtype']!r}")
    return header
