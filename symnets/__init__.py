"""Equivariant networks, diffeomorphisms and the loss landscape: one toolkit."""

__version__ = "0.1.0"
