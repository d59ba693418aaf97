"""Context manager that leaves a model, and all random states, as they were before a measurement."""

import random
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.jit import ScriptModule
from torch.utils._pytree import tree_map


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Context that leaves a model and all random states as found, whatever a forward pass changes in them.

    On exit, also after an error, these are restored:

    - train or eval mode of every submodule, its attributes, hooks and class (lazy modules);
    - parameters and buffers: which tensors they are, their values, `requires_grad` and `grad`;
    - tensors, lists, dicts, sets and random generators that are attributes of modules;
    - the random states of torch (CPU, and the GPUs of the model), numpy and Python;
    - default dtype, grad mode and autocast.

    A module that appends activations to a list attribute therefore loses them; collect them by a hook,
    outside of the module. The contents of attributes of other types are not restored. The tensors are copied,
    which takes as much memory as the model. Inside the context, call `model.eval()` and `torch.no_grad()` as
    the observable needs.

    Args:
        model: any module.

    Example:
        >>> model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout()).train()
        >>> with as_found(model):
        ...     _ = model(torch.rand(5, 3))
        >>> model.training, model[0].running_mean.tolist()
        (True, [0.0, 0.0, 0.0])
    """
    snapshot = _Snapshot(model)
    with ExitStack() as stack:
        stack.callback(_restore_modes_of_torch, *_modes_of_torch())
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002, models may use it
        stack.enter_context(torch.random.fork_rng(devices=snapshot.gpus))
        stack.callback(snapshot.restore)
        yield


def _modes_of_torch() -> tuple[torch.dtype, bool, list[tuple[str, bool, torch.dtype]]]:
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    autocast = [(d, torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in devices]
    return torch.get_default_dtype(), torch.is_grad_enabled(), autocast


def _restore_modes_of_torch(
    dtype: torch.dtype, grad: bool, autocast: list[tuple[str, bool, torch.dtype]]
) -> None:
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(grad)
    for device, enabled, autocast_dtype in autocast:
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, autocast_dtype)


class _Snapshot:
    """Everything reachable from a module through attributes and containers, and how to restore it."""

    def __init__(self, model: nn.Module) -> None:
        self._undo: list[Callable[[], object]] = []
        self._seen: dict[int, Any] = {}  # the objects too, so that no other object gets the id of one
        self._gpus: set[int] = set()
        # Uninitialised parameters refuse most operations; subclasses of tensors may redefine them.
        with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
            self._visit(model)

    @property
    def gpus(self) -> list[int]:
        """Indices of the GPUs that have tensors of the model."""
        return sorted(self._gpus) if torch.cuda.is_available() else []

    def restore(self) -> None:
        """Undo all changes; what has not changed is not written."""
        with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
            for undo in self._undo:
                undo()

    def _visit(self, value: Any) -> None:
        if type(value) in (NoneType, bool, int, float, str) or id(value) in self._seen:
            return  # most attributes: tested first for speed
        if isinstance(value, Tensor):
            self._seen[id(value)] = value
            self._tensor(value)
        elif isinstance(value, nn.Module):
            self._seen[id(value)] = value
            self._module(value)
        elif isinstance(value, tuple):
            for part in tuple.__iter__(value):  # subclasses may refuse, such as e3nn's Irreps
                self._visit(part)
        elif type(value) in (dict, OrderedDict, defaultdict, list, set, deque):
            self._seen[id(value)] = value
            for part in value.values() if isinstance(value, dict) else value:
                self._visit(part)
            self._undo.append(_undo_container(value))
        elif isinstance(value, Generator):
            self._undo.append(partial(value.set_state, value.get_state()))
        elif isinstance(value, np.random.Generator):
            bits = value.bit_generator
            self._undo.append(partial(setattr, bits, "state", bits.state))

    def _module(self, module: nn.Module) -> None:
        if isinstance(module, ScriptModule):
            self._undo.append(_undo_scripted(module))
            for child in [*module.children(), *module.parameters(False), *module.buffers(False)]:
                self._visit(child)
            return
        cls = type(module)
        self._visit(vars(module))
        self._undo.append(lambda: None if type(module) is cls else setattr(module, "__class__", cls))

    def _tensor(self, tensor: Tensor) -> None:
        if tensor.is_cuda:
            self._gpus.add(tensor.get_device())
        if tensor.is_meta:
            return
        data, values, cls, version = tensor.data, tensor.detach().clone(), type(tensor), _version(tensor)
        leaf, trained, grad = tensor.is_leaf, tensor.requires_grad, tensor.grad if tensor.is_leaf else None
        if grad is not None:
            self._visit(grad)

        def undo() -> None:
            if _is_dense(tensor):
                tensor.data = data  # the memory, which `tensor.data = ...` in a forward pass replaces
            if not _is_dense(tensor) or (0 not in data.stride() and not torch.equal(data, values)):
                # Values are restored in the way in which they were changed. After a change in place, a copy
                # in place raises the version, so that torch refuses to differentiate graphs of the
                # measurement. After a change through `data`, which leaves the version, a copy through `data`
                # leaves it too, so that graphs from before the measurement stay valid.
                unnoticed = _version(tensor) == version and _is_dense(tensor)
                with torch.inference_mode() if data.is_inference() else torch.no_grad():
                    (data if unnoticed else tensor).copy_(values)
            if leaf and tensor.requires_grad != trained:
                tensor.requires_grad_(trained)
            if leaf and tensor.grad is not grad:
                tensor.grad = grad
            if type(tensor) is not cls:  # an uninitialised parameter that was materialised
                tensor.__class__ = cls

        self._undo.append(undo)


def _undo_container(container: Any) -> Callable[[], None]:
    """Restores what a list, dict, set or deque contains; the container stays the same object."""
    before = list(container.items()) if isinstance(container, dict) else list(container)

    def undo() -> None:
        now = list(container.items()) if isinstance(container, dict) else list(container)
        if len(now) == len(before) and all(_same(a, b) for a, b in zip(now, before, strict=True)):
            return
        container.clear()
        container.update(before) if isinstance(container, dict | set) else container.extend(before)

    return undo


def _same(one: Any, other: Any) -> bool:
    """Whether two values, or two pairs of key and value, are the same objects."""
    pair = isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other) == 2
    return one is other or (pair and one[0] is other[0] and one[1] is other[1])


def _undo_scripted(module: ScriptModule) -> Callable[[], None]:
    """Restores mode and attributes of a module whose state is not in Python."""
    inner = module._c  # pyright: ignore[reportAttributeAccessIssue]
    concrete = getattr(module, "_concrete_type", None)  # missing if it was loaded from a file
    names = {"training", *(() if concrete is None else concrete.get_attributes())}
    names |= {name for name, _ in [*module.named_buffers(recurse=False)]}
    before = {name: inner.getattr(name) for name in names if inner.hasattr(name)}

    def undo() -> None:
        for name, value in before.items():
            if inner.getattr(name) is not value:
                inner.setattr(name, value)

    return undo


def _is_dense(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_nested


def _version(tensor: Tensor) -> int:
    """Number of changes in place that torch has noticed; -1 where it does not count them."""
    return -1 if tensor.is_inference() else tensor._version


def copy_inputs(inputs: Any) -> Any:
    """Copy of a model's inputs (tensors, graphs, nested containers), as models may change them in place."""
    return tree_map(lambda part: part.clone() if hasattr(part, "clone") else part, inputs)
