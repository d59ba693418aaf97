"""FromStart: base class of wrappers that compare a model with the weights from which it started."""

import copy
import weakref
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

_OF_MODEL = ("members", "input_axes", "d_out", "species", "cutoff")
"""Attributes that the wrapper takes from the model, if the model has them."""

Wrapper = TypeVar("Wrapper", bound="FromStart")


class FromStart(nn.Module):
    """Base class of `Scaled` and `Linearized`: a model with weights w, and its first weights w0.

    w are the parameters of `model`, and are trained. w0, and the model's own buffers at that time, are copied
    into buffers: they are not optimised, and `to` and `state_dict` include them. `members`, `input_axes`,
    `d_out`, `species` and `cutoff` are those of the model, where it has them.

    Args:
        model: any module.
        start: a module of the same structure with weights w0; by default `model` in its present state.

    Raises:
        ValueError: the parameters or buffers of `start` have other names or shapes than those of `model`.
    """

    def __init__(self, model: nn.Module, start: nn.Module | None = None) -> None:
        super().__init__()
        self.model = model
        self.training = model.training
        mine, first = _tensors(model), _tensors(start or model)
        if [(k, v.shape) for k, v in mine.items()] != [(k, v.shape) for k, v in first.items()]:
            raise ValueError(
                f"start: expected parameters and buffers of the names and shapes of the model, got "
                f"{_shapes(first)} for {_shapes(mine)}"
            )
        # Dots are not allowed in the names of buffers.
        self._names = {f"start_{k}": name for k, name in enumerate(first)}
        for name, value in zip(self._names, first.values(), strict=True):
            self.register_buffer(name, value.detach().clone())

    def __getattr__(self, name: str) -> Any:
        if name in _OF_MODEL:
            return getattr(self.model, name)
        return super().__getattr__(name)

    @property
    def start(self) -> nn.Module:
        """The model with weights w0, copied and frozen."""
        values = self._start_tensors()
        memo = {id(tensor): _like(values[name], tensor) for name, tensor in _tensors(self.model).items()}
        return copy.deepcopy(self.model, memo).requires_grad_(False)

    def member(self: Wrapper, index: int) -> Wrapper:
        """Copy of one member."""
        model, start = _member(self.model, index), _member(self.start, index)
        return self._copy(model, start, torch.as_tensor(index))

    def select(self: Wrapper, indices: Sequence[int] | Tensor) -> Wrapper:
        """Copy of the wrapper with the members at these indices."""
        model, start = _select(self.model, indices), _select(self.start, indices)
        return self._copy(model, start, torch.as_tensor(indices))

    def _copy(self: Wrapper, model: nn.Module, start: nn.Module, indices: Tensor) -> Wrapper:
        """The same wrapper, for the members at `indices`."""
        raise NotImplementedError

    def _start_tensors(self) -> dict[str, Tensor]:
        """w0 and the model's first buffers, by their names in the model."""
        return {name: getattr(self, buffer) for buffer, name in self._names.items()}

    def _at_start(self, inputs: tuple[Any, ...]) -> Tensor:
        """f(w0, x), differentiable in x. Buffers that the model changes stay as they were at the start."""
        tensors = self._start_tensors()
        for name, _ in self.model.named_buffers():
            tensors[name] = tensors[name].clone()
        return _checked(functional_call(self.model, tensors, inputs), self.model)


class LastValue:
    """Cache of a function's value for the last input, valid while the same tensor is passed again, unchanged.

    The tensor counts as unchanged if its version counter is unchanged: writing through `.data` or through a
    NumPy array of the same memory is not noticed.
    """

    def __init__(self) -> None:
        self._key: Any = None
        self._value: Any = None

    def __deepcopy__(self, memo: Any) -> "LastValue":
        return LastValue()

    def get(self, inputs: tuple[Any, ...], tensors: Sequence[Tensor], function: Any) -> Any:
        """Value for these inputs, which `function` computes if they are new or if `tensors` have changed."""
        inside_transform = torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore
        if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or inside_transform:
            return function()
        (x,) = inputs
        if x.requires_grad or x.is_inference():
            return function()
        versions = [(id(t), t._version) for t in tensors]
        key = (weakref.ref(x), x._version, versions)
        if self._key is None or self._key[0]() is not x or self._key[1:] != key[1:]:
            self._key, self._value = key, function()
        return self._value


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _shapes(tensors: dict[str, Tensor]) -> str:
    shown = [f"{name} {tuple(value.shape)}" for name, value in list(tensors.items())[:4]]
    return ", ".join(shown) + (", ..." if len(tensors) > 4 else "")


def _like(value: Tensor, tensor: Tensor) -> Tensor:
    value = value.detach().clone()
    return nn.Parameter(value, requires_grad=False) if isinstance(tensor, nn.Parameter) else value


def _checked(outputs: Any, model: nn.Module) -> Tensor:
    if not isinstance(outputs, Tensor):
        raise TypeError(
            f"model: expected a module that returns one tensor, got a {type(outputs).__name__} from "
            f"{type(model).__name__}; wrap the energy model, as in ForceField(Scaled(energy_model, alpha))"
        )
    return outputs


def _member(model: Any, index: int) -> nn.Module:
    if getattr(model, "members", None) is None:
        raise ValueError(f"member: expected a model with members, got a single {type(model).__name__}")
    return model.member(index)


def _select(model: Any, indices: Sequence[int] | Tensor) -> nn.Module:
    if getattr(model, "members", None) is None:
        raise ValueError(f"select: expected a model with members, got a single {type(model).__name__}")
    return model.select(indices)
