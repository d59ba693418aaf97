"""Numbers of structures that have each label, in numbers and in words."""

from collections.abc import Collection, Iterable, Mapping

from symnets.data._frame_labels import LABELS

_PLURAL = {"energy": "energies"}


def count_labels(labelled: Iterable[Collection[str]]) -> dict[str, int]:
    """Numbers of structures with energy, forces and stress, from the names of the labels of each."""
    counts: dict[str, int] = dict.fromkeys(LABELS, 0)
    for names in labelled:
        for name in LABELS:
            counts[name] += name in names
    return counts


def counts_in_words(counts: Mapping[str, int], n_structures: int) -> str:
    """Counts of labels in words, such as "energies of 812 of 1,000 frames, forces of 640".

    Labels that no structure has are left out.
    """
    present = [(_PLURAL.get(name, name), count) for name, count in counts.items() if count]
    if not present:
        return f"none in {n_structures:,} frame{'' if n_structures == 1 else 's'}"
    (name, count), *others = present
    frames = "frame" if n_structures == 1 else "frames"
    first = f"{name} of {count:,} of {n_structures:,} {frames}"
    return ", ".join([first, *(f"{name} of {count:,}" for name, count in others)])
