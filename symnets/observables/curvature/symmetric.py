"""Symmetric matrices of which one half is computed: in place, a strip at a time."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

STRIP = 256
"""Rows that are worked on at once: wide enough for a fast product, narrow beside N."""


def add_weighted_gram(
    target: Float[Tensor, "n n"], factors: Float[Tensor, "n k"], weights: Float[Tensor, " k"]
) -> None:
    """Lower half of target += G diag(w) G^T, with w of any sign; about N² k operations, not 2 N² k."""
    for rows in strips(len(target)):
        target[rows, : rows.stop].addmm_(factors[rows] * weights, factors[: rows.stop].T)


def mirror(target: Float[Tensor, "n n"]) -> None:
    """Copies the lower half onto the upper one."""
    for rows in strips(len(target)):
        target[: rows.start, rows] = target[rows, : rows.start].T
        corner = target[rows, rows]
        corner.copy_(corner.tril() + corner.tril(-1).T)


def strips(n: int, rows: int = STRIP) -> Iterator[slice]:
    """Slices of at most so many rows."""
    return (slice(start, min(start + rows, n)) for start in range(0, n, rows))
