"""Binary labels +1 and -1 from classes, and balanced subsets of labelled examples."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer, Shaped
from torch import Tensor

from symnets.data._images import Images


def parity_labels(
    labels: Integer[Tensor, "points"], *, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "points"]:
    """Label +1 for an even class and -1 for an odd one, such as the parity of a digit."""
    return 1.0 - 2.0 * (labels % 2).to(dtype)


def group_labels(
    labels: Integer[Tensor, "points"],
    positive: Iterable[int] = (0, 1, 2, 3, 4),
    *,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "points"]:
    """Label +1 for the classes of `positive` and -1 for all others.

    Raises:
        ValueError: no example has one of the two labels.
    """
    chosen = torch.tensor(sorted(positive), dtype=labels.dtype, device=labels.device)
    inside = torch.isin(labels, chosen)
    if len(labels) and (inside.all() or not inside.any()):
        missing = "-1" if inside.all() else "+1"
        raise ValueError(
            f"positive: with classes {chosen.tolist()} as +1 no example is {missing}; "
            f"the classes present are {labels.unique().tolist()}"
        )
    return 2.0 * inside.to(dtype) - 1.0


def class_pair(
    images: Images, a: int | str, b: int | str, *, dtype: torch.dtype = torch.float64
) -> tuple[Images, Float[Tensor, "images"]]:
    """Images of two classes, with label +1 for class a and -1 for class b.

    Classes are given by number or by name, as in `class_pair(cifar, "cat", "dog")`.

    Raises:
        ValueError: an unknown class, or twice the same class.
    """
    first, second = (images.class_number(name) for name in (a, b))
    if first == second:
        raise ValueError(f"pair: expected two different classes, got {a!r} and {b!r}")
    kept = images[((images.labels == first) | (images.labels == second)).nonzero()[:, 0]]
    return kept, group_labels(kept.labels, (first,), dtype=dtype)


def check_binary_labels(labels: Shaped[Tensor, "*members points"]) -> None:
    """Check that all labels of a binary task are +1 or -1.

    Raises:
        ValueError: another label; the message gives some values and the position of the first wrong one.
    """
    wrong = (labels != 1) & (labels != -1)
    if labels.dtype == torch.bool:
        wrong = torch.ones_like(wrong)
    if wrong.any():
        place, values = wrong.nonzero()[0].tolist(), labels.unique()[:5].tolist()
        advice = "convert classes with parity_labels, group_labels or class_pair of symnets.data"
        if set(values) <= {0, 1}:
            advice = "convert labels 0 and 1 with 2.0 * labels - 1"
        raise ValueError(
            f"labels: expected +1 and -1, got {values}, the first wrong one in row "
            f"{', '.join(map(str, place))}; {advice}"
        )


def balanced_subset(labels: Shaped[Tensor, "points"], n: int, seed: int) -> Int64[Tensor, "{n}"]:
    """Indices of a random subset of n examples with equal numbers of each class.

    With C classes, example k of the subset is of class k mod C (in ascending order of the labels): the
    numbers of two classes differ by at most one. Each class has its own random order, which depends only on
    the seed. Hence subsets are nested: `balanced_subset(labels, n, seed)` is the beginning of
    `balanced_subset(labels, m, seed)` for every m > n, and a learning curve over n only adds examples.

    Raises:
        ValueError: n exceeds the number of examples, a class has too few examples, or the seed is negative.
    """
    values = labels.detach().cpu().numpy()
    if not 0 <= n <= len(values):
        raise ValueError(f"n: expected 0 to {len(values)}, the number of examples, got {n}")
    if seed < 0:
        raise ValueError(f"seed: expected a number >= 0, got {seed}")
    classes = np.unique(values)
    by_class = np.empty((-(-n // max(len(classes), 1)), len(classes)), dtype=np.int64)
    for k, label in enumerate(classes):
        members = np.flatnonzero(values == label)
        count = len(range(k, n, len(classes)))
        if count > len(members):
            raise ValueError(
                f"n: {n} balanced examples need {count} of class {label:g}, which has {len(members)}; "
                f"expected at most {largest_balanced_subset(values)}"
            )
        order = np.random.default_rng([seed, k]).permutation(members)
        by_class[:count, k] = order[:count]
    return torch.from_numpy(by_class.reshape(-1)[:n].copy()).to(labels.device)


def largest_balanced_subset(values: np.ndarray) -> int:
    """Largest n for which `balanced_subset` exists."""
    _, counts = np.unique(values, return_counts=True)
    # The smallest class is exhausted first; classes before it in the order have one example more.
    return int(counts.min() * len(counts) + counts.argmin())
