"""Cusp of an error at the jamming transition: its position, and the rise and fall around it."""

import numpy as np

from symnets.estimates._size_curves import SizeCurves, jamming_size


def cusp(curves: SizeCurves, name: str) -> int | None:
    """Index of the size with the largest mean error between N*/2 and 2 N*; None if there is no such size.

    Args:
        curves: contain "unsatisfied_per_weight", from which the jamming size N* follows.
        name: name of the error among the curves.
    """
    star = jamming_size(curves)
    near = (curves.sizes >= star / 2) & (curves.sizes <= 2 * star)
    return int(np.argmax(np.where(near, curves.mean(name), -np.inf))) if near.any() else None


def cusp_rise(curves: SizeCurves, name: str) -> float:
    """Mean error at the cusp minus the smallest mean error at smaller sizes N.

    Negative if the error falls up to the cusp; NaN if there is no cusp or no smaller size.
    """
    at, error = cusp(curves, name), curves.mean(name)
    return float(error[at] - error[:at].min()) if at else float("nan")


def cusp_fall(curves: SizeCurves, name: str) -> float:
    """Mean error at the cusp minus the mean error of the largest net; NaN if there is no cusp."""
    at, error = cusp(curves, name), curves.mean(name)
    return float("nan") if at is None else float(error[at] - error[-1])
