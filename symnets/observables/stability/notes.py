"""Notes: why a number is not there."""

from collections.abc import Iterator, Sequence

import numpy as np

from symnets.observables.stability.result import Estimate


def notes(layers: Sequence[str], d: Estimate, g: Estimate, r: Estimate, n_images: int) -> tuple[str, ...]:
    """A sentence for each thing that is undefined, with the layers it concerns."""
    return tuple(_notes(np.array(layers), d, g, r, n_images))


def _notes(layers: np.ndarray, d: Estimate, g: Estimate, r: Estimate, n_images: int) -> Iterator[str]:
    if n_images == 1:
        yield "D and G are undefined: a single image has no distance to another"
    elif len(lost := layers[~g.defined & ~d.defined]):
        yield f"D and G are undefined: outputs of all images are equal, or no numbers, in {_few(lost)}"
    if len(lost := layers[~r.defined & ~(g.value == 0)]):
        yield f"R is undefined: noise does not move the output, or it is no number, in {_few(lost)}"
    if len(lost := layers[~r.defined & (g.value == 0)]):
        yield f"R is undefined: G is 0, in {_few(lost)}; deformations that move no pixel have noise of norm 0"


def _few(names: np.ndarray) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
