"""What goes in: graphs of atoms, readers, splits, statistics."""

from symnets.data.graph import AtomGraph, Labels, labels
from symnets.data.loader import Batch, Loader, collate
from symnets.data.neighbors import Neighbors, neighbors
from symnets.data.read import read_structures
from symnets.data.split import split
from symnets.data.statistics import Statistics, isolated_atoms, statistics
from symnets.data.structures import build_graphs, from_ase, to_ase

__all__ = [
    "AtomGraph",
    "Batch",
    "Labels",
    "Loader",
    "Neighbors",
    "Statistics",
    "build_graphs",
    "collate",
    "from_ase",
    "isolated_atoms",
    "labels",
    "neighbors",
    "read_structures",
    "split",
    "statistics",
    "to_ase",
]
