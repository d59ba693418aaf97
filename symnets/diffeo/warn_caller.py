"""Warnings that point to the line of a user, and not into a library."""

import sys
import warnings

PASSED_ON = ("symnets", "torch", "torchvision", "jaxtyping", "beartype")
"""Packages whose lines are not a user's."""


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns of the innermost line outside of `PASSED_ON`; python then shows it once for each such line."""
    frame, level = sys._getframe(1), 2
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in PASSED_ON:
            break
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
