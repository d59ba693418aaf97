"""Classes made into two: labels +1 and -1."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from symnets.data.images.images import Images


def parity(
    labels: Integer[Tensor, "points"], *, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "points"]:
    """+1 for an even class, -1 for an odd one: the parity of a digit."""
    return 1.0 - 2.0 * (labels % 2).to(dtype)


def groups(
    labels: Integer[Tensor, "points"],
    positive: Iterable[int] = (0, 1, 2, 3, 4),
    *,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "points"]:
    """+1 for the classes of `positive`, -1 for all others.

    Raises:
        ValueError: one of the two groups has no example.
    """
    chosen = torch.tensor(sorted(positive), dtype=labels.dtype, device=labels.device)
    inside = torch.isin(labels, chosen)
    if len(labels) and (inside.all() or not inside.any()):
        missing = "-1" if inside.all() else "+1"
        raise ValueError(
            f"positive: with classes {chosen.tolist()} as +1 no example is {missing}; "
            f"the labels hold the classes {labels.unique().tolist()}"
        )
    return 2.0 * inside.to(dtype) - 1.0


def pair(
    images: Images, a: int | str, b: int | str, *, dtype: torch.dtype = torch.float64
) -> tuple[Images, Float[Tensor, "images"]]:
    """The images of two classes, and their labels: +1 for class a, -1 for class b.

    Classes are given by number or by name, such as `pair(cifar, "cat", "dog")`.

    Raises:
        ValueError: a class that the images do not have, or twice the same.
    """
    first, second = (images.class_number(name) for name in (a, b))
    if first == second:
        raise ValueError(f"pair: expected two different classes, got {a!r} and {b!r}")
    kept = images[((images.labels == first) | (images.labels == second)).nonzero()[:, 0]]
    return kept, groups(kept.labels, (first,), dtype=dtype)


def check_signs(labels: Shaped[Tensor, "*members points"]) -> None:
    """Refuse labels of a binary task that are not +1 or -1.

    Raises:
        ValueError: with some of the values found, and the place of the first that is neither.
    """
    wrong = (labels != 1) & (labels != -1)
    if wrong.any():
        place = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"labels: expected +1 and -1, got {labels.unique()[:5].tolist()}, the first that is neither in "
            f"row {', '.join(map(str, place))}; make classes into signs with parity, groups or pair of "
            "symnets.data"
        )
