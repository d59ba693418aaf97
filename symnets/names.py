"""Unknown names: the known ones that come nearest, for error messages."""

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[str], n: int = 1) -> list[str]:
    """The `n` known names most similar to a name, the most similar first; upper and lower case are alike.

    Example:
        >>> nearest("mase", ["NequIP", "MACE"])
        ['MACE']
    """
    by_lower_case: dict[str, list[str]] = {}
    for other in known:
        by_lower_case.setdefault(other.lower(), []).append(other)
    close = difflib.get_close_matches(str(name).lower(), list(by_lower_case), n=n, cutoff=0.0)
    return [other for word in close for other in by_lower_case[word]][:n]


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of an error message on an unknown name: the nearest known name and all valid ones.

    Example:
        >>> did_you_mean("mase", ["NequIP", "MACE"])
        "did you mean 'MACE'? Valid: NequIP, MACE"
    """
    known = list(known)
    if not known:
        return "there are none"
    return f"did you mean {nearest(name, known)[0]!r}? Valid: {', '.join(known)}"
