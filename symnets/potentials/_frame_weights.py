"""Weights of structures in the loss, from a key in the files and from their config_type."""

from collections.abc import Sequence
from math import inf

import torch
from ase import Atoms

from symnets.data import AtomGraph, keys_present
from symnets.names import did_you_mean
from symnets.potentials._config import DataConfig

_DEFAULT = "Default"
"""Name of the weight of all other structures in `config_type_weights`."""


def frame_weights(structures: Sequence[tuple[str, Atoms]], data: DataConfig) -> list[float] | None:
    """Weight of each structure in the loss, as configured; None if the configuration sets no weights.

    Raises:
        ValueError: a weight is not a number of at least 0; the message has the name of the structure.
    """
    if data.weight_key is None and not data.config_type_weights:
        return None
    return [
        _by_key(name, atoms, data.weight_key) * _by_type(atoms, data.config_type_weights)
        for name, atoms in structures
    ]


def add_weights(graphs: Sequence[AtomGraph], weights: Sequence[float] | None) -> None:
    """Set the weight of each graph in the loss; graphs stay as they are if `weights` is None."""
    for graph, weight in zip(graphs, weights or (), strict=weights is not None):
        graph.weight = torch.tensor([weight], dtype=torch.float64, device="cpu")


def check_weights(source: str, structures: Sequence[Atoms], data: DataConfig) -> None:
    """Check that the training structures have the key and the types of the configured weights.

    Raises:
        ValueError: no structure has the key, or there is a type that no structure has.
    """
    if data.weight_key is not None and not any(data.weight_key in atoms.info for atoms in structures):
        keys = ", ".join(keys_present(structures)[0]) or "none"
        raise ValueError(
            f"data.weight_key: none of the {len(structures)} structures of {source} has a weight under the "
            f"key {data.weight_key!r}. Keys present: {keys}"
        )
    types = {str(atoms.info.get("config_type", _DEFAULT)) for atoms in structures} | {_DEFAULT}
    for kind in data.config_type_weights:
        if kind not in types:
            raise ValueError(
                f"data.config_type_weights: no structure of {source} has config_type {kind!r}; "
                f"{did_you_mean(kind, sorted(types))}"
            )


def weights_in_words(weights: Sequence[float] | None) -> str | None:
    """The range of weights, and how many are 0; None if there are none."""
    if not weights:
        return None
    zeros = sum(weight == 0 for weight in weights)
    return f"{min(weights):g} to {max(weights):g}" + (f", 0 for {zeros:,} structures" if zeros else "")


def _by_key(name: str, atoms: Atoms, key: str | None) -> float:
    given = 1.0 if key is None else atoms.info.get(key, 1.0)
    try:
        weight = float(given)
    except (TypeError, ValueError):
        weight = -inf
    if not 0 <= weight < inf:
        raise ValueError(f"{name}: weight ({key}): expected a number of at least 0, got {given!r:.80}")
    return weight


def _by_type(atoms: Atoms, weights: dict[str, float]) -> float:
    kind = str(atoms.info.get("config_type", _DEFAULT))
    return weights.get(kind, weights.get(_DEFAULT, 1.0))
