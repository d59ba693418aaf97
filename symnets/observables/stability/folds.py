"""Warnings of folds: once, at the door, and not with every draw."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Generator

from symnets.diffeo.folding import FoldingWarning
from symnets.observables.stability.images import Field


def warn_of_folds(field: Field, strength: Mapping[str, float]) -> None:
    """Whatever a field has to say of a strength, said to the caller of `stability`.

    Args:
        field: asked for a single deformation, of which nothing is kept.
        strength: temperature or delta, by name.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        field.sample(1, generator=Generator().manual_seed(0), **strength)
    for one in told:
        warnings.warn(one.message, category=one.category, stacklevel=3)  # past `stability`


@contextmanager
def told_already() -> Iterator[None]:
    """Without warnings of folds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FoldingWarning)
        yield
