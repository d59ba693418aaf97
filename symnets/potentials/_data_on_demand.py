"""Data of a potential that are larger than memory: graphs made on demand, after one pass through all."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from symnets.data import Frames, GraphsOnDemand, GraphSummary, LabelKeys, Workers, keys_present
from symnets.potentials._config import DataConfig, TrainConfig
from symnets.potentials._frame_weights import frame_weights
from symnets.potentials._graph_content import graph_content
from symnets.training import is_first_process

_CHUNK = 64
"""Number of structures that a worker reads for one result."""


class TrainingGraphs(GraphsOnDemand):
    """Training graphs made on demand, with a hash of all data."""

    digest: Any = None
    """Hash, of hashlib, of training and validation graphs, see `data_digest`."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "digest"}


class ScannedGraphs(NamedTuple):
    """Graphs made on demand, and what one pass through all of them has recorded."""

    graphs: GraphsOnDemand
    summaries: list[GraphSummary]
    examples: list[tuple[str, Atoms]]
    """Name of each structure, with a structure that is checked in its place: one with the same species,
    labels, keys and config_type. Few are kept, so that memory does not grow with the data."""
    geometries: list[bytes]
    """Hash of species, positions, cell and periodicity of each structure."""


def open_frames(files: Sequence[Path], data: DataConfig, needed: Collection[str]) -> Frames:
    """Frames of structure files, read with the label keys and the stress convention of a configuration."""
    keys = LabelKeys(
        data.energy_key, data.forces_key, data.stress_key, data.virial_key, data.stress_convention
    )
    return Frames(files, keys, require=needed if data.require_all else ())


def scan_structures(
    config: TrainConfig, parts: Sequence[tuple[Frames, NDArray[np.int64]]]
) -> tuple[ScannedGraphs, ScannedGraphs]:
    """Training and validation graphs, made on demand, after one pass through all of them.

    The worker processes of the configuration, if any, compute the summaries; a bar on a terminal shows the
    progress.

    Args:
        config: configuration of the training.
        parts: frames and rows to train on, and those to validate on.
    """
    weight = None
    if config.data.weight_key is not None or config.data.config_type_weights:
        weight = partial(_weight, data=config.data)
    digest, scanned = hashlib.sha256(), []
    cutoff, dtype = config.model.cutoff, getattr(torch, config.dtype)
    for cls, (frames, rows), own_weight in zip(
        (TrainingGraphs, GraphsOnDemand), parts, (weight, None), strict=True
    ):
        graphs = cls(frames, rows, cutoff, dtype=dtype, weight=own_weight)
        digest.update(f"{len(graphs)} structures".encode())
        scanned.append(_scan(graphs, config.data.workers, digest.update))
    train, validation = scanned
    train.graphs.digest = digest
    return train, validation


def _scan(graphs: GraphsOnDemand, workers: int, update: Callable[[bytes], None]) -> ScannedGraphs:
    chunks = [range(start, min(start + _CHUNK, len(graphs))) for start in range(0, len(graphs), _CHUNK)]
    record = _RecordStructures(graphs)
    console = Console(stderr=True)
    results: Iterator[list[_StructureRecord]] = (
        Workers(record, workers).map(chunks) if workers else map(record, chunks)
    )
    shown = track(
        results,
        f"reading {len(graphs):,} structures",
        total=len(chunks),
        console=console,
        transient=True,
        disable=not (console.is_terminal and is_first_process()),
    )
    kinds: dict[Any, Atoms] = {}
    summaries, examples, geometries = [], [], []
    for found in (one for chunk in shown for one in chunk):
        if found.atoms is not None:
            kinds.setdefault(found.kind, found.atoms)
        update(found.content)
        summaries.append(found.summary)
        examples.append((graphs.name(len(examples)), kinds[found.kind]))
        geometries.append(found.geometry)
    return ScannedGraphs(graphs, summaries, examples, geometries)


class _StructureRecord(NamedTuple):
    """Record of one structure, made in the pass through all data."""

    summary: GraphSummary
    kind: Any
    """Species, labels, whether it has a stress, keys and config_type."""
    atoms: Atoms | None
    """The structure, if this process has seen none of its kind before."""
    content: bytes
    """The graph as bytes, from which the hash of the data is computed, see `graph_content`."""
    geometry: bytes


class _RecordStructures:
    """Function that reads and records some structures; it returns the first structure of each kind only."""

    def __init__(self, graphs: GraphsOnDemand) -> None:
        self.graphs, self.seen = graphs, set()

    def __call__(self, indices: Sequence[int]) -> list[_StructureRecord]:
        found = []
        for index in indices:
            atoms, graph = self.graphs.with_structure(index)
            summary = GraphSummary.of(graph)
            keys = tuple(map(tuple, keys_present([atoms])))
            kind = (
                summary.species,
                tuple(summary.extremes),
                summary.has_stress,
                keys,
                str(atoms.info.get("config_type")),
            )
            example = None if kind in self.seen else atoms
            self.seen.add(kind)
            found.append(_StructureRecord(summary, kind, example, graph_content(graph), _geometry(atoms)))
        return found


def _geometry(atoms: Atoms) -> bytes:
    """Hash of species, positions, cell and periodicity."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _weight(name: str, atoms: Atoms, *, data: DataConfig) -> float:
    weights = frame_weights([(name, atoms)], data)
    return 1.0 if weights is None else weights[0]


def equal_structures(train: ScannedGraphs, validation: ScannedGraphs) -> list[tuple[int, int]]:
    """Pairs (validation, training) of structures that are equal bit for bit."""
    trained = {geometry: index for index, geometry in enumerate(train.geometries)}
    return [(i, trained[g]) for i, g in enumerate(validation.geometries) if g in trained]
