"""What goes in: graphs of atoms, readers, splits, statistics."""

from symnets.data.find import find_data, find_structure
from symnets.data.generate import generate, sample
from symnets.data.graph import AtomGraph, Labels, labels
from symnets.data.loader import Batch, Loader, collate
from symnets.data.neighbors import Neighbors, neighbors
from symnets.data.read import read_structures
from symnets.data.split import split
from symnets.data.statistics import Statistics, isolated_atoms, statistics
from symnets.data.structures import build_graphs, from_ase, to_ase
from symnets.data.whole_file import whole_file
from symnets.data.write import write_structures

__all__ = [
    "AtomGraph",
    "Batch",
    "Labels",
    "Loader",
    "Neighbors",
    "Statistics",
    "build_graphs",
    "collate",
    "find_data",
    "find_structure",
    "from_ase",
    "generate",
    "isolated_atoms",
    "labels",
    "neighbors",
    "read_structures",
    "sample",
    "split",
    "statistics",
    "to_ase",
    "whole_file",
    "write_structures",
]
