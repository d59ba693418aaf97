"""Comparison of two modules: whether they differ in the values of parameters and buffers only."""

import random
import weakref
from collections import defaultdict, deque
from dataclasses import is_dataclass
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

REGISTRIES = frozenset(vars(nn.Module()).keys() - {"training", "_non_persistent_buffers_set"})
"""Attributes of every module that hold its parameters, buffers, submodules and hooks."""


def difference(first: nn.Module, model: nn.Module) -> str | None:
    """A difference of two modules other than the values of parameters and buffers, or None."""
    parts, others = (dict(m.named_modules(remove_duplicate=False)) for m in (first, model))
    if list(parts) != list(others):
        return "the submodules have other names"
    same = _Same(first, model)
    for name, part in parts.items():
        other, it = others[name], name or "it"
        cls, other_cls = type_before_parametrizations(part), type_before_parametrizations(other)
        if cls is not other_cls:
            return f"{it} is a {other_cls.__name__}, and a {cls.__name__} in number 0"
        for kind in ("_parameters", "_buffers"):
            ours, theirs = vars(part)[kind], vars(other)[kind]
            if list(ours) != list(theirs):
                return f"{it} has other {kind[1:]} than in number 0: {list(theirs)}, not {list(ours)}"
            for key, tensor in ours.items():
                if problem := _other_tensor(tensor, theirs[key]):
                    return f"{f'{name}.{key}'.lstrip('.')} has another {problem} than in number 0"
                if not same(tensor, theirs[key]):
                    return f"{f'{name}.{key}'.lstrip('.')} is not tied to the same tensors as in number 0"
        ours, theirs = ({k: v for k, v in vars(m).items() if k not in REGISTRIES} for m in (part, other))
        for key in sorted(ours.keys() | theirs.keys()):
            if key not in ours or key not in theirs or not same(ours[key], theirs[key]):
                return (
                    f"attribute {key} of {it} differs from that of number 0, or refers to parts of a module; "
                    "all members would have that of number 0: make it equal in all modules, or register it "
                    "as a parameter or buffer"
                )
    return None


def _other_tensor(one: Tensor | None, other: Tensor | None) -> str | None:
    """Difference between two tensors that prevents stacking them, in words; None without one."""
    if one is None or other is None:
        return None if one is other else "value (None)"
    for name in ("shape", "dtype", "device", "layout", "requires_grad"):
        if getattr(one, name) != getattr(other, name):
            return name
    return None if type(one) is type(other) else "class"


class _Same:
    """Whether two values are equal; a part of each module counts as equal if both have the same name."""

    def __init__(self, first: nn.Module, model: nn.Module) -> None:
        self.names = _names(first), _names(model)
        # Pairs that were compared, by id. They are kept alive, since the id of a freed value is used again.
        self.seen: dict[tuple[int, int], tuple[Any, Any]] = {}

    def __call__(self, one: Any, other: Any) -> bool:
        name, other_name = self.names[0].get(id(one)), self.names[1].get(id(other))
        if name is not None or other_name is not None:
            return name == other_name
        if type(one) is not type(other):
            return False
        if isinstance(one, type | ModuleType):
            return one is other
        if (pair := (id(one), id(other))) in self.seen:  # a cycle, or compared before
            return True
        self.seen[pair] = one, other
        if isinstance(one, Tensor):
            return _other_tensor(one, other) is None and torch.equal(one, other)
        if isinstance(one, np.ndarray):
            return one.dtype == other.dtype and np.array_equal(one, other)
        if isinstance(one, torch.Generator):
            return torch.equal(one.get_state(), other.get_state())
        if isinstance(one, random.Random):
            return one.getstate() == other.getstate()
        # A copy of a module has the functions of the original, which go on using its parts.
        if isinstance(one, FunctionType) and (self._mentions(one, {}) or self._mentions(other, {})):
            return False
        contents, others = _contents(one), _contents(other)
        if contents is None or others is None:
            return one is other or bool(one == other)
        return len(contents) == len(others) and all(map(self, contents, others))

    def _mentions(self, value: Any, seen: dict[int, Any]) -> bool:
        """Whether a value is or has a part of one of the modules; `seen` holds values searched before."""
        if any(id(value) in names for names in self.names):
            return True
        if id(value) in seen or isinstance(value, type | ModuleType):
            return False
        seen[id(value)] = value
        contents = list(value) if isinstance(value, set | frozenset) else _contents(value)
        return any(self._mentions(part, seen) for part in contents or [object.__getstate__(value)])


def _contents(value: Any) -> list[Any] | None:
    """Everything of which the value of a function, container or object consists; None for other values."""
    if isinstance(value, FunctionType):
        closure = [_in_cell(cell) for cell in value.__closure__ or ()]
        defaults = [value.__defaults__, value.__kwdefaults__ or {}]
        return [value.__code__, id(value.__globals__), closure, *defaults, vars(value)]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords, vars(value)]
    if isinstance(value, weakref.ReferenceType):
        return [value()]
    attributes = object.__getstate__(value)  # those in slots too, whatever the class itself would pickle
    if isinstance(value, dict):
        factory = value.default_factory if isinstance(value, defaultdict) else None
        return [list(value), list(value.values()), factory, attributes]
    if isinstance(value, list | tuple | deque):
        return [*value, value.maxlen if isinstance(value, deque) else None, attributes]
    has_attributes = attributes is not None or hasattr(value, "__dict__")
    # `==` of records fails for tensors, and that of dataclasses may omit fields.
    is_record = is_dataclass(value) or isinstance(value, SimpleNamespace)
    return [attributes] if has_attributes and (is_record or type(value).__eq__ is object.__eq__) else None


def _in_cell(cell: CellType) -> Any:
    """Value of a variable of a closure; `CellType` if it has none yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return CellType


def _names(module: nn.Module) -> dict[int, str]:
    """First name of every submodule, parameter and buffer, by id."""
    named = [*module.named_modules(), *module.named_parameters(), *module.named_buffers()]
    return {id(part): name for name, part in reversed(named)}
