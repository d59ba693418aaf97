"""A simulated second device: tensors on "cuda:0" with real values, which cannot be mixed with CPU tensors.

    from tests.second_device import second_device

    with second_device():
        there = copy.deepcopy(model).to("cuda")   # or build the model within, and model.to("cuda")
        x = torch.randn(5, 3).to("cuda")          # or torch.zeros(5, 3, device="cuda")
        energy = there(x).sum()                   # computed by the CPU's kernels
        energy.backward()                         # derivatives of any order, custom functions too
        energy.cpu()                              # back again: an ordinary tensor, equal to the CPU's result

Within the context these fail, as they do on a GPU, with CUDA's messages:

- an operation on a tensor of the device and one of the CPU. As with CUDA, CPU tensors without dimensions, CPU
  indices of `x[index]`, and `copy_` are allowed;
- `numpy()`, and any access to the memory of a tensor of the device by its address;
- random numbers on the device from a generator of the CPU, and the reverse; `torch.Generator("cuda")` creates
  one of the device, but not in code that has done `from torch import Generator` earlier.

`on_device(tensor)` returns whether a tensor is on the device, as do `tensor.device` and `tensor.is_cuda`.

Not simulated: `torch.cuda` (`is_available()` stays False; patch it where a test needs it), streams, autocast,
pinned memory, `torch.compile`, `torch.save`. Wrong devices inside one TorchScript function are not detected.
The class of a tensor is `SecondDevice`, so that `type(x) is torch.Tensor` is False, and `detach()` fails in
inference mode: use `no_grad`. Tensors of the device must not be used after the context has ended. An
operation takes a millisecond.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cuda:0")
READS_CPU_INDICES = {
    "index",
    "index_put",
    "index_put_",
    "_index_put_impl_",
    "_unsafe_index",
    "_unsafe_index_put",
}
MOVES = {"copy_", "_to_copy", "copy"}
WANTS_ALL = {"cat", "stack"}
"""Operations for which CUDA does not accept CPU tensors without dimensions either."""
Generator = torch.Generator


class SecondDevice(torch.Tensor):
    """A tensor of the device around one of the CPU, `elem`.

    To torch's C++ code it is on the CPU: autograd asks the driver about any other device, and there is none.
    """

    elem: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, elem: torch.Tensor) -> "SecondDevice":
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            elem.shape,
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
            device="cpu",
        )
        self.elem = elem
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"SecondDevice({self.elem})"

    @property
    def device(self) -> torch.device:
        return DEVICE

    @property
    def is_cuda(self) -> bool:
        return True

    @property
    def is_cpu(self) -> bool:
        return False

    def get_device(self) -> int:
        return 0

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.detach().elem.numpy()
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. "
            "Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def tolist(self) -> Any:
        return self.elem.tolist()

    def data_ptr(self) -> int:
        raise RuntimeError("the memory of a tensor on cuda:0 was asked for by code of the CPU")

    def untyped_storage(self) -> Any:
        raise RuntimeError("the memory of a tensor on cuda:0 was asked for by code of the CPU")

    def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
        return move(self, torch.device("cpu"))

    def cuda(self, *_: Any, **__: Any) -> torch.Tensor:
        return self

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return to(self, *args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> "SecondDevice":
        if id(self) not in memo:
            new = SecondDevice(copy.deepcopy(self.elem)).requires_grad_(self.requires_grad)
            if isinstance(self, torch.nn.Parameter):
                new._is_param = True
            memo[id(self)] = new
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("a tensor on cuda:0 was pickled")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(func, args, kwargs or {}, None)


def flat(value: Any) -> list[Any]:
    """Leaves of nested lists, tuples and dictionaries."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return [value]
    return [
        leaf for part in value for leaf in (flat(part) if isinstance(part, list | tuple | dict) else [part])
    ]


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to the leaves of nested lists, tuples and dictionaries."""
    if isinstance(value, dict):
        return {key: mapped(function, part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([mapped(function, part) for part in value])
    return function(value)


def base(tensor: Any) -> Any:
    """Tensor without the wrappers of `torch.func`."""
    functorch = torch._C._functorch
    while isinstance(tensor, torch.Tensor) and functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def on_device(tensor: Any) -> bool:
    """Whether a tensor is on the second device."""
    return isinstance(base(tensor), SecondDevice)


class _Move(torch.autograd.Function):
    """Copy of a tensor on the other device."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, to_second: bool) -> torch.Tensor:
        ctx.to_second = to_second
        return SecondDevice(x.detach().clone()) if to_second else x.elem.detach().clone()  # pyright: ignore

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> Any:
        return _Move.apply(g, not ctx.to_second) if on_device(g) == ctx.to_second else g, None


def move(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    to_second = device.type == "cuda"
    if device.type not in ("cpu", "cuda"):
        with torch._C.DisableTorchFunction():
            return torch.Tensor.to(tensor, device)
    if on_device(tensor) == to_second:
        return tensor
    return _Move.apply(tensor, to_second)  # pyright: ignore[reportReturnType]


def to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`Tensor.to`."""
    device = kwargs.pop("device", None)
    plain = []
    for arg in args:
        if isinstance(arg, torch.Tensor):
            device = DEVICE if on_device(arg) else torch.device("cpu")
            plain.append(arg.dtype)
        elif isinstance(arg, str | torch.device) or (isinstance(arg, int) and not isinstance(arg, bool)):
            device = torch.device("cuda", arg) if isinstance(arg, int) else torch.device(arg)
        elif arg is not None:
            plain.append(arg)
    kwargs.pop("non_blocking", None)
    if plain and isinstance(plain[-1], bool):  # non_blocking, copy
        plain = [value for value in plain if not isinstance(value, bool)]
    moved = tensor if device is None else move(tensor, torch.device(device))
    if kwargs.get("copy") and moved is not tensor:
        kwargs.pop("copy")
    with torch._C.DisableTorchFunction():
        return torch.Tensor.to(moved, *plain, **kwargs) if plain or kwargs else moved


def call(func: Any, args: Any, kwargs: Any, asked: str | None) -> Any:
    """Run an operation of ATen on the values.

    Args:
        func: the operation.
        args: its arguments.
        kwargs: its options.
        asked: the kind of device that was asked for in Python, "cpu" or "cuda", if any was.
    """
    name = func.overloadpacket.__name__
    given = flat((args, kwargs))
    tensors = [value for value in given if isinstance(value, torch.Tensor)]
    second = [value for value in tensors if isinstance(value, SecondDevice)]
    if second:
        _refuse_mixtures(func, name, args, tensors, second)
    made = second or asked == "cuda" or any(_is_cuda(value) for value in given)
    if asked == "cpu" and "device" in kwargs:
        made = False
    elif not second and isinstance(kwargs.get("device"), torch.device) and not _is_cuda(kwargs["device"]):
        made = asked == "cuda"
    args, kwargs = mapped(_as_cpu, (args, kwargs))
    out = func(*args, **kwargs)
    if not made:
        return out
    owners = {id(tensor.elem): tensor for tensor in second}

    def wrap(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        owner = owners.get(id(value))
        if owner is None:
            return SecondDevice(value)
        if owner.shape != value.shape or owner.stride() != value.stride():
            raise NotImplementedError(f"{name}: the second device cannot change a tensor's shape in place")
        return owner

    return mapped(wrap, out)


def _as_cpu(value: Any) -> Any:
    if isinstance(value, SecondDevice):
        return value.elem
    return torch.device("cpu") if _is_cuda(value) else value


def _is_cuda(value: Any) -> bool:
    return isinstance(value, torch.device) and value.type == "cuda"


def _refuse_mixtures(func: Any, name: str, args: Any, tensors: list[Any], second: list[Any]) -> None:
    if name in MOVES:
        return
    plain = [t for t in tensors if not isinstance(t, SecondDevice) and t.device.type == "cpu"]
    plain = [t for t in plain if not getattr(t, "_made_by_torch", False)]
    if name in READS_CPU_INDICES and isinstance(args[0], SecondDevice):
        ids = {id(index) for index in args[1]}
        plain = [t for t in plain if id(t) not in ids]
    written = [
        value
        for value, argument in zip(args, func._schema.arguments, strict=False)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    written = [value for value in written if any(value is tensor for tensor in plain)]
    bad = written or [t for t in plain if t.ndim or name in WANTS_ALL]
    if bad:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
            f"({name}: shapes {[tuple(t.shape) for t in second]} and {[tuple(t.shape) for t in bad]})"
        )


def _refuse_generators(values: list[Any], second: bool) -> None:
    expected = "cuda" if second else "cpu"
    for value in values:
        if isinstance(value, Generator) and value.device.type != expected:
            raise RuntimeError(
                f"Expected a '{expected}' device type for generator but found '{value.device.type}'"
            )


class _Functions(TorchFunctionMode):
    """Mode for calls from Python: requested devices, and copies between devices."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: str | None = None
        self.depth = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        of_tensor = bool(args) and isinstance(args[0], torch.Tensor)
        if of_tensor and name == "to":
            return to(*args, **kwargs)
        if of_tensor and name in ("cpu", "cuda"):
            return move(args[0], torch.device(name))
        if of_tensor and name == "type_as":
            return to(*args)
        if of_tensor and name == "__get__" and on_device(args[0]):
            known = {torch.Tensor.device: DEVICE, torch.Tensor.is_cuda: True, torch.Tensor.is_cpu: False}  # pyright: ignore
            if func.__self__ in known:
                return known[func.__self__]
        if of_tensor and name == "__set__" and func.__self__ is torch.Tensor.data:  # pyright: ignore
            if on_device(args[0]) != on_device(args[1]):
                raise RuntimeError("tensor.data was set to a tensor of another device")
            if on_device(args[0]):
                args[0].elem = args[1].elem  # then also the shape, in C++, which has no values
        if of_tensor and name == "new_tensor" and on_device(args[0]) and kwargs.get("device") is None:
            like, kwargs["device"], func, args = args[0], DEVICE, torch.tensor, args[1:]
            kwargs.setdefault("dtype", like.dtype)
        if of_tensor and name == "backward":
            names = ("gradient", "retain_graph", "create_graph", "inputs")
            options = {**dict(zip(names, args[1:], strict=False)), **kwargs}
            with self:  # otherwise calls from Python backward functions would not be intercepted
                return torch.autograd.backward(args[0], options.pop("gradient", None), **options)
        device = kwargs.get("device")
        asked = None
        if device is not None:
            device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
            asked = device.type
        elif any(on_device(value) for value in flat((args, kwargs))):
            asked = "same"
        if func in (torch.tensor, torch.as_tensor, torch.asarray, torch.scalar_tensor) and asked == "cuda":
            requires_grad = kwargs.pop("requires_grad", False)
            return move(func(*args, **{**kwargs, "device": None}), DEVICE).requires_grad_(requires_grad)
        if asked == "cuda":
            kwargs["device"] = DEVICE
        _refuse_generators(flat((args, kwargs)), asked in ("cuda", "same"))
        before, self.asked = self.asked, asked
        self.depth += 1
        try:
            return func(*args, **kwargs)
        finally:
            self.asked = before
            self.depth -= 1


class _Dispatch(TorchDispatchMode):
    """Mode for operations of ATen, from Python and from torch's C++ code."""

    def __init__(self, functions: _Functions) -> None:
        super().__init__()
        self.functions = functions

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        asked = self.functions.asked
        with torch._C.DisableTorchFunction():
            out = call(func, args, kwargs or {}, asked if asked in ("cuda", "cpu") else None)
        if isinstance(out, torch.Tensor) and not isinstance(out, SecondDevice):
            by_torch = asked == "same" or self.functions.depth == 0
            tensors = [value for value in flat((args, kwargs)) if isinstance(value, torch.Tensor)]
            if by_torch and all(getattr(tensor, "_made_by_torch", False) for tensor in tensors):
                out._made_by_torch = True  # pyright: ignore[reportAttributeAccessIssue]
        return out


class _SecondGenerator(Generator):
    """`torch.Generator` that can be on the device."""

    def __new__(cls, device: Any = "cpu") -> Any:
        return super().__new__(cls)

    def __init__(self, device: Any = "cpu") -> None:
        self._device = DEVICE if torch.device(device).type == "cuda" else torch.device("cpu")

    @property
    def device(self) -> torch.device:
        return self._device


@contextmanager
def second_device() -> Iterator[None]:
    """Context in which "cuda" is the simulated device; see the docstring of this file."""
    future = torch.__future__
    before = future.get_overwrite_module_params_on_conversion()
    future.set_overwrite_module_params_on_conversion(True)
    functions = _Functions()
    try:
        with (
            mock.patch.object(torch.cuda, "_lazy_init"),
            mock.patch.object(torch, "Generator", _SecondGenerator),
            mock.patch.object(
                torch.autograd, "has_torch_function", return_value=False
            ),  # see "backward" above
            _Dispatch(functions),
            functions,
        ):
            yield
    finally:
        future.set_overwrite_module_params_on_conversion(before)
