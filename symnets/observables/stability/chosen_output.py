"""The one tensor that is measured of what a module returns."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Choice = int | str | Callable[[Any], Tensor]
"""An index, a key, the name of a field, or a function of what a module returns."""


def chosen_output(found: Any, choice: Choice | None, name: str, n: int) -> Float[Tensor, "n *shape"]:
    """Outputs of n images, one tensor with the images along its first axis.

    Args:
        found: what a module returned.
        choice: which part of it; None if it is a tensor itself.
        name: of the module, for errors.
        n: images that went in.

    Raises:
        ValueError: it is not a tensor of floating numbers, n along the first axis.
    """
    if callable(choice):
        found = choice(found)
    elif choice is not None and not isinstance(found, Tensor):
        found = _part(found, choice, name)
    if not isinstance(found, Tensor):
        raise ValueError(
            f"{name}: expected a tensor, got {_contents(found)}; choose with output={{{name!r}: ...}}, an "
            "index, a key or a function"
        )
    if not found.is_floating_point() or found.ndim == 0 or len(found) != n:
        raise ValueError(
            f"{name}: expected floating numbers with the {n} images along the first axis, got {found.dtype} "
            f"of shape {tuple(found.shape)}; choose or transpose with output={{{name!r}: function}}"
        )
    # Differences of half-precision numbers would lose what little they have.
    return found if found.dtype in (torch.float32, torch.float64) else found.float()


def choice_of(output: Choice | Mapping[str, Choice] | None, name: str, own: bool) -> Choice | None:
    """The choice for a module: of a mapping its entry, else what is said for the model's own output."""
    if isinstance(output, Mapping):
        return output.get(name)
    return output if own else None


def _part(found: Any, choice: Hashable, name: str) -> Any:
    try:
        return found[choice]
    except (KeyError, IndexError, TypeError):
        if isinstance(choice, str) and hasattr(found, choice):
            return getattr(found, choice)
        raise ValueError(f"{name}: output={choice!r} is not there; got {_contents(found)}") from None


def _contents(found: Any) -> str:
    def kind(value: Any) -> str:
        shape = f" {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        return f"{type(value).__name__}{shape}"

    if isinstance(found, Mapping):
        items = [f"{key!r}: {kind(value)}" for key, value in found.items()]
        return f"{type(found).__name__} {{{', '.join(items)}}}"
    if isinstance(found, tuple | list):
        return f"{type(found).__name__} ({', '.join(f'{i}: {kind(v)}' for i, v in enumerate(found))})"
    return kind(found)
