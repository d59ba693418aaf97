"""Content of a graph as bytes, from which the hash of the data is computed."""

from symnets.data import TENSOR, AtomGraph, labels

_FIELDS = ("z", "pos", "cell", "pbc", "energy", "forces", "stress", "charge", "weight")
_LABELS = ("energy", "forces", "stress")


def graph_content(graph: AtomGraph) -> bytes:
    """Structure, labels and weight of a graph as bytes; missing labels, all NaN, are left out."""
    content = []
    for name in (*_FIELDS, *sorted(f"{TENSOR}{name}" for name in labels(graph).tensors or {})):
        value = graph.get(name)
        if value is None or (name in _LABELS and bool(value.isnan().all())):
            continue
        content.append(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        content.append(value.detach().cpu().contiguous().numpy().tobytes())
    return b"".join(content)
