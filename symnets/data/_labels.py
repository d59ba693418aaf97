"""Classes made into two: labels +1 and -1.

Nested balanced subsets of a labelled set.
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer, Shaped
from torch import Tensor

from symnets.data._images import Images


def parity_labels(
    labels: Integer[Tensor, "points"], *, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "points"]:
    """+1 for an even class, -1 for an odd one: the parity of a digit."""
    return 1.0 - 2.0 * (labels % 2).to(dtype)


def group_labels(
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


def class_pair(
    images: Images, a: int | str, b: int | str, *, dtype: torch.dtype = torch.float64
) -> tuple[Images, Float[Tensor, "images"]]:
    """The images of two classes, and their labels: +1 for class a, -1 for class b.

    Classes are given by number or by name, such as `class_pair(cifar, "cat", "dog")`.

    Raises:
        ValueError: a class that the images do not have, or twice the same.
    """
    first, second = (images.class_number(name) for name in (a, b))
    if first == second:
        raise ValueError(f"pair: expected two different classes, got {a!r} and {b!r}")
    kept = images[((images.labels == first) | (images.labels == second)).nonzero()[:, 0]]
    return kept, group_labels(kept.labels, (first,), dtype=dtype)


def check_binary_labels(labels: Shaped[Tensor, "*members points"]) -> None:
    """Refuse labels of a binary task that are not +1 or -1.

    Raises:
        ValueError: with some of the values found, and the place of the first that is neither.
    """
    wrong = (labels != 1) & (labels != -1)
    if wrong.any():
        place = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"labels: expected +1 and -1, got {labels.unique()[:5].tolist()}, the first that is neither in "
            f"row {', '.join(map(str, place))}; make classes into signs with parity_labels, group_labels or class_pair of "
            "symnets.data"
        )


def balanced_subset(labels: Shaped[Tensor, "points"], n: int, seed: int) -> Int64[Tensor, "{n}"]:
    """Indices of n examples, classes in turn, each class in a random order of its own.

    With C classes, example k of the subset is of class k mod C (in ascending order of the labels). So the
    numbers of any two classes differ by one at most, and are equal where n is a multiple of C. The orders
    depend on the seed alone: `balanced_subset(labels, n, seed)` is the beginning of `balanced_subset(labels, m, seed)` for
    every m > n, and a learning curve over n only ever adds examples.

    Raises:
        ValueError: n is more than there is, in the whole set or in one of the classes.
    """
    values = labels.detach().cpu().numpy()
    if not 0 <= n <= len(values):
        raise ValueError(f"n: expected 0 to {len(values)}, the number of examples, got {n}")
    if seed < 0:
        raise ValueError(f"seed: expected a number >= 0, got {seed}")
    classes = np.unique(values)
    turns = np.empty((-(-n // max(len(classes), 1)), len(classes)), dtype=np.int64)
    for k, label in enumerate(classes):
        members = np.flatnonzero(values == label)
        wanted = len(range(k, n, len(classes)))
        if wanted > len(members):
            raise ValueError(
                f"n: {n} balanced examples need {wanted} of class {label:g}, which has {len(members)}; "
                f"expected at most {largest_balanced_subset(values)}"
            )
        order = np.random.default_rng([seed, k]).permutation(members)
        turns[:wanted, k] = order[:wanted]
    return torch.from_numpy(turns.reshape(-1)[:n].copy()).to(labels.device)


def largest_balanced_subset(values: np.ndarray) -> int:
    """The size of the largest balanced subset."""
    _, counts = np.unique(values, return_counts=True)
    # The smallest class is the first to run out; those before it in the order have had one turn more.
    return int(counts.min() * len(counts) + counts.argmin())
