"""Results that several layers ask for, one after another."""

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")


def remembered(make: Callable[..., T]) -> Callable[..., T]:
    """A function of tensors and numbers that keeps its last result.

    Tensors are known by themselves, and by how often they were written to; numbers and tuples by value.
    """
    last: tuple[list[Any], T] | None = None

    def call(*arguments: Any) -> T:
        nonlocal last
        held = last
        if held is not None and len(held[0]) == len(arguments) and all(map(_same, held[0], arguments)):
            return held[1]
        result = make(*arguments)
        last = [_mark(argument) for argument in arguments], result
        return result

    return call


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _mark(argument: Any) -> Any:
    return (weakref.ref(argument), _version(argument)) if isinstance(argument, Tensor) else argument


def _same(mark: Any, argument: Any) -> bool:
    if isinstance(argument, Tensor):
        return isinstance(mark, tuple) and mark[0]() is argument and mark[1] == _version(argument)
    return mark is argument or (not isinstance(mark, tuple) and mark == argument)
