"""Networks by import path, and state dicts read from files."""

import copy
import importlib
import importlib.util
import inspect
import os
import pickle
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from symnets.names import nearest


def import_object(path: str) -> Any:
    """Import the object of a path `package.module:name`, which runs the code of the module.

    Modules are searched on Python's path, then in the working directory.

    Raises:
        ValueError: no such path, or no object of this name (the nearest names are given).
        ImportError: the code of the module raises an exception, for example because it imports a module that
            is missing.
    """
    module, _, name = path.partition(":")
    if not name or not all(word.isidentifier() for word in [*module.split("."), *name.split(".")]):
        raise ValueError(f"expected an import path package.module:name, got {path!r}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    if not _exists(module):
        raise ValueError(f"{path}: there is no module {module!r} here or among the installed ones")
    try:
        value: Any = importlib.import_module(module)
    except Exception as error:  # whatever the code of the user raises
        raise ImportError(f"{path}: importing {module} failed: {type(error).__name__}: {error}") from error
    for word in name.split("."):
        if not hasattr(value, word):
            known = [other for other in dir(value) if not other.startswith("_")]
            near = ", ".join(nearest(word, known, n=3)) or "(none)"
            raise ValueError(f"{path}: {module} has no {name!r}; the nearest names are {near}")
        value = getattr(value, word)
    return value


def import_model(path: str, *, seed: int = 0) -> nn.Module:
    """Import the network that `package.module:callable` returns.

    The callable, a class or a function, takes no arguments. If the path is that of a network, a copy of it is
    returned, so that weights can be loaded into it. Initial weights are drawn with `seed`; torch's random
    state is left as found.

    Args:
        path: such as "torchvision.models:resnet18" or "mine.nets:small", see `import_object`.
        seed: seed of torch's global generator while the callable runs.

    Raises:
        ValueError: no object of this name, a callable that needs arguments, or one that returns no network.
        ImportError: the module imports something that is missing.
    """
    value = import_object(path)
    model = _copied(value) if isinstance(value, nn.Module) else _call(value, path, seed)
    if not isinstance(model, nn.Module):
        raise ValueError(f"model: expected {path} to return a torch.nn.Module, got {type(model).__name__}")
    return model


def _copied(model: nn.Module) -> nn.Module:
    copied = copy.deepcopy(model)
    if isinstance(copied, torch.jit.ScriptModule):
        for parameter in copied.parameters():  # torch's copies are results of `clone`, with a history
            trained = parameter.requires_grad
            parameter.detach_().requires_grad_(trained)
    return copied


def load_weights(model: nn.Module, path: Path) -> None:
    """Load the weights and buffers of a file into a model; never runs code of the file.

    Args:
        model: model whose parameters and buffers have the names and shapes of the file.
        path: a `state_dict`, as .safetensors or as `torch.save` writes it; if the dictionary has an entry
            "state_dict" or "model", that entry is read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a damaged file, a pickle that contains more than tensors, or names and shapes that do not
            fit; the message gives the nearest name.
    """
    given, expected = _read(path), model.state_dict()
    # Old files lack this counter, which evaluation does not use; torch sets it to 0.
    missing = [key for key in expected if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in expected]
    if missing or unexpected:
        raise ValueError(
            f"{path}: names do not fit {type(model).__name__}: {_difference(missing, unexpected)}"
            + _prefixed(given, expected)
        )
    for key, tensor in given.items():
        if tensor.shape != expected[key].shape:
            raise ValueError(
                f"{path}: expected {key} of shape {tuple(expected[key].shape)}, got {tuple(tensor.shape)}; "
                "are width and number of classes those of the training?"
            )
    model.load_state_dict(given, strict=False)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # a parent package is missing; `__main__` has no spec
        return False


def _call(function: Any, path: str, seed: int) -> Any:
    if not callable(function):
        raise ValueError(f"model: expected {path} to be callable, got {type(function).__name__}")
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ValueError(
            f"model: {path} is called without arguments, but: {error}; write a function that passes them"
        ) from error
    except ValueError:  # written in C, without a signature
        pass
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return function()


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file of weights")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: not a whole file of weights: {_first_line(error)}") from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: damaged, or holds more than tensors and is not opened{_refused_class(error)}; save "
            "model.state_dict() alone"
        ) from None  # torch's message explains how to open it nevertheless
    for entry in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(entry), Mapping):
            content = content[entry]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path}: expected a state_dict, tensors by name, got {type(content).__name__}")
    return dict(content)


def _difference(missing: list[str], unexpected: list[str]) -> str:
    parts = [
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for kind, keys in (("missing", missing), ("unexpected", unexpected))
        if keys
    ]
    if missing and unexpected:
        parts.append(f"is {nearest(missing[0], unexpected)[0]} meant for {missing[0]}?")
    return "; ".join(parts)


def _prefixed(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Advice on a prefix that a wrapper has added to all names, such as "module." of DataParallel, or ""."""
    prefix = next(iter(given), "").partition(".")[0] + "."
    if not all(key.startswith(prefix) for key in given):
        return ""
    if not {key.removeprefix(prefix) for key in given} & expected.keys():
        return ""
    return (
        f"; all names begin with {prefix!r}, which a wrapper such as DataParallel adds: strip it, "
        f"{{name.removeprefix({prefix!r}): tensor for name, tensor in weights.items()}}"
    )


def _refused_class(error: Exception) -> str:
    """Name of the class in a pickle that torch refused, if the error message has it."""
    match = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f" (it asks for {match[1]})" if match else ""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
