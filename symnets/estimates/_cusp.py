"""Cusp of an error at the jamming transition: where it is, how far the error rises to it and falls beyond."""

import numpy as np

from symnets.estimates._size_curves import SizeCurves, jamming_size


def cusp(curves: SizeCurves, name: str) -> int | None:
    """Index of the size with the largest mean error between N*/2 and 2 N*; None if there is no such size.

    Args:
        curves: with "unsatisfied_per_weight", from which N* follows.
        name: of the error.
    """
    star = jamming_size(curves)
    near = (curves.sizes >= star / 2) & (curves.sizes <= 2 * star)
    return int(np.argmax(np.where(near, curves.mean(name), -np.inf))) if near.any() else None


def cusp_rise(curves: SizeCurves, name: str) -> float:
    """Mean error at the cusp minus the smallest at smaller N; negative if it falls, NaN if there is none."""
    at, error = cusp(curves, name), curves.mean(name)
    return float(error[at] - error[:at].min()) if at else float("nan")


def cusp_fall(curves: SizeCurves, name: str) -> float:
    """Mean error at the cusp minus that of the largest net; NaN if there is no cusp."""
    at, error = cusp(curves, name), curves.mean(name)
    return float("nan") if at is None else float(error[at] - error[-1])
