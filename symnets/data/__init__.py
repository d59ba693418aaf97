"""What goes in: graphs of atoms, readers, splits, statistics."""

from symnets.data.graph import AtomGraph, Labels, labels

__all__ = ["AtomGraph", "Labels", "labels"]
