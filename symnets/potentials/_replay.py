"""Replay: structures labelled by the foundation model, which are mixed into training on other data."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress
from pooch import file_hash

from symnets.config import fingerprint
from symnets.data import (
    AtomGraph,
    Loader,
    build_graphs,
    find_data,
    is_isolated_atom,
    read_structures,
    split,
    write_structures,
)
from symnets.models import ForceField
from symnets.observables import predictions
from symnets.potentials._finetune_config import GENERATED, FinetuneConfig
from symnets.potentials._generated import generated_structures

TRAIN, TEST = "replay.xyz", "replay_test.xyz"
"""Files of the replayed structures to train on and of the replay test set, in the output folder."""
_MAX_FORCE, _MAX_STRESS = 5.0, 0.15
"""Largest force component in eV/Å and stress component in eV/Å³ of generated structures: a few that are
further from equilibrium would dominate every step of the training."""


@dataclass(frozen=True)
class Replay:
    """Replayed structures to train on and to measure forgetting on, as graphs with labels."""

    train: list[AtomGraph]
    test: list[AtomGraph]
    source: str
    """Where the structures come from, in words."""


def write_replay(
    finetune: FinetuneConfig,
    force_field: ForceField,
    elements: Sequence[int],
    folder: Path,
    seed: int,
    *,
    labels: str,
    keep: bool,
) -> None:
    """Write the replayed structures, labelled with a model's energies, forces and stress, to files.

    Without `finetune.replay` only the replay test set is written. Files that the same options, model and data
    made are kept.

    Args:
        finetune: see `FinetuneConfig`.
        force_field: the model that labels them.
        elements: atomic numbers of generated structures.
        folder: output folder of the fine-tuning.
        seed: the structures are a function of the elements and the seed.
        labels: hash of all that decides the labels of a given structure.
        keep: whether any existing files are kept, as a resumed run needs them.

    Raises:
        ValueError: the file `finetune.replay` has an element that the model lacks, or too few structures.
    """
    sizes = _sizes(finetune)
    paths = {name: folder / name for name, size in sizes.items() if size}
    if keep and all(path.exists() for path in paths.values()):
        return
    origin = _origin(finetune, elements, seed, labels)
    if all(path.exists() and _origin_in(path) == origin for path in paths.values()):
        return
    if finetune.replay in (None, GENERATED):
        made = _accepted(force_field, generated_structures(elements, seed))
        parts = {TEST: list(islice(made, sizes[TEST])), TRAIN: list(islice(made, sizes[TRAIN]))}
    else:
        parts = _of_file(str(finetune.replay), force_field, sizes, seed)
    for name, path in paths.items():
        for atoms in parts[name]:
            atoms.info["origin"] = origin
        write_structures(path, parts[name])


def _origin(finetune: FinetuneConfig, elements: Sequence[int], seed: int, labels: str) -> str:
    """Hash of all that decides the replayed structures and their labels."""
    file = ""
    if finetune.replay not in (None, GENERATED):
        file = file_hash(str(find_data(str(finetune.replay))))
    values = {
        "options": (finetune.replay, finetune.n_replay, finetune.n_replay_test, _MAX_FORCE, _MAX_STRESS),
        "elements": list(elements),
        "seed": seed,
        "file": file,
        "labels": labels,
    }
    return f"of-{fingerprint(values)}"  # with letters, so that a reader of the file does not parse a number


def _origin_in(path: Path) -> str | None:
    return read_structures(path, index=0)[0].info.get("origin")


def read_replay(finetune: FinetuneConfig, force_field: ForceField, folder: Path) -> Replay:
    """The structures that `write_replay` wrote, as graphs for the model."""
    graphs = {
        name: _graphs(read_structures(folder / name), force_field) if size else []
        for name, size in _sizes(finetune).items()
    }
    generated = finetune.replay in (None, GENERATED)
    source = "generated crystals and molecules" if generated else f"structures of {finetune.replay}"
    return Replay(graphs[TRAIN], graphs[TEST], source)


def _sizes(finetune: FinetuneConfig) -> dict[str, int]:
    n_train = 0 if finetune.replay is None else finetune.n_replay
    return {TRAIN: n_train, TEST: finetune.n_replay_test}


class MixedExamples(Sequence[AtomGraph]):
    """Graphs of the data, then replayed graphs with the same fields.

    Replayed graphs lose fields that the data lack. Labels that they lack are NaN, and their weights are 1.

    Args:
        own: graphs of the data.
        replayed: graphs with labels of the foundation model.
        heads: whether each graph gets the number of its head: 0 for the data, 1 for the foundation model.
    """

    def __init__(self, own: Sequence[AtomGraph], replayed: Sequence[AtomGraph], *, heads: bool) -> None:
        self.own, self.heads = own, heads
        self.replayed = [_like(own[0], graph) for graph in replayed]

    def __len__(self) -> int:
        return len(self.own) + len(self.replayed)

    def __getitem__(self, index: int) -> AtomGraph:  # pyright: ignore[reportIncompatibleMethodOverride]
        n_own = len(self.own)
        graph = self.own[index] if index < n_own else self.replayed[index - n_own]
        return with_head(graph, int(index >= n_own)) if self.heads else graph


class MixedLoader(Loader):
    """Loader whose epochs have all graphs of the data, and replayed graphs in a given ratio to them.

    Each epoch has other replayed graphs; in the long run all occur equally often.

    Args:
        examples: the graphs.
        batch_size: number of graphs in a batch.
        ratio: replayed graphs per epoch for each graph of the data.
        seed: seed of the random orders.
        part: see `Loader`.
        workers: see `Loader`.
    """

    def __init__(
        self,
        examples: MixedExamples,
        batch_size: int,
        *,
        ratio: float,
        seed: int,
        part: tuple[int, int] = (0, 1),
        workers: int = 0,
    ) -> None:
        super().__init__(examples, batch_size, shuffle=True, seed=seed, part=part, workers=workers)
        self.n_own, self.n_replayed = len(examples.own), len(examples.replayed)
        self.n_sampled = round(ratio * self.n_own) if self.n_replayed else 0

    def __len__(self) -> int:
        return -(-(self.n_own + self.n_sampled) // self.batch_size)

    def share(self, batch: int) -> float:
        """Fraction of the examples of a batch that are in the part of this loader."""
        size = min(self.batch_size, self.n_own + self.n_sampled - batch * self.batch_size)
        first, last = self._own(size)
        return (last - first) / size

    def order(self, number: int) -> list[int]:
        """Indices of the examples in the order of an epoch, given by its number."""
        random = np.random.default_rng([self.seed, number])
        # One endless sequence of permutations, of which each epoch has the next piece.
        places = np.arange(number * self.n_sampled, (number + 1) * self.n_sampled)
        passes = {
            turn: np.random.default_rng([self.seed, turn, 1]).permutation(self.n_replayed)
            for turn in np.unique(places // max(self.n_replayed, 1)).tolist()
        }
        picked = [
            self.n_own + int(passes[p // self.n_replayed][p % self.n_replayed]) for p in places.tolist()
        ]
        return random.permutation([*range(self.n_own), *picked]).tolist()


def with_head(graph: AtomGraph, head: int) -> AtomGraph:
    """A shallow copy of a graph with the number of its head."""
    graph = copy.copy(graph)
    graph.head = torch.full((graph.n_graphs,), head)
    return graph


def _like(first: AtomGraph, graph: AtomGraph) -> AtomGraph:
    """A shallow copy of a graph with the fields of `first`; those that it lacks are NaN, a weight is 1."""
    graph = copy.copy(graph)
    for name in set(graph.keys()) - set(first.keys()):
        del graph[name]
    for name, value in first.to_dict().items():
        if name in graph:
            continue
        per_atom = value.shape[:1] == first.z.shape and value.ndim > 1
        shape = (len(graph.z) if per_atom else 1, *value.shape[1:])
        graph[name] = torch.full(shape, 1.0 if name == "weight" else torch.nan, dtype=value.dtype)
    return graph


def _accepted(force_field: ForceField, structures: Iterator[Atoms]) -> Iterator[Atoms]:
    """Structures labelled by a model, without those that have extreme forces or stress."""
    while True:
        for atoms in labelled_by(force_field, list(islice(structures, 16))):
            stress = np.abs(atoms.calc.results.get("stress", np.zeros(1))).max()  # pyright: ignore
            forces = np.abs(atoms.calc.results["forces"]).max()  # pyright: ignore
            if forces < _MAX_FORCE and stress < _MAX_STRESS:
                yield atoms


def _of_file(path: str, force_field: ForceField, sizes: dict[str, int], seed: int) -> dict[str, list[Atoms]]:
    """Structures of a file for training and test, with labels of a model."""
    structures = [atoms for atoms in read_structures(find_data(path)) if not is_isolated_atom(atoms)]
    if len(structures) < 2:
        raise ValueError(f"{path}: expected two or more structures to replay, got {len(structures)}")
    unknown = {int(z) for atoms in structures for z in atoms.numbers} - set(force_field.species)
    if unknown:
        symbols = ", ".join(chemical_symbols[z] for z in sorted(unknown))
        raise ValueError(f"{path}: has {symbols}, which the foundation model lacks; leave those frames out")
    n_test = min(sizes[TEST], max(len(structures) // 5, 1))
    n_train = min(sizes[TRAIN], len(structures) - n_test)
    parts = split(len(structures), (n_test, n_train), seed)
    test, train = (labelled_by(force_field, [structures[int(i)] for i in part]) for part in parts)
    return {TRAIN: train, TEST: test}


def labelled_by(force_field: ForceField, structures: Sequence[Atoms]) -> list[Atoms]:
    """Copies of structures with energy, forces and stress of a model as labels."""
    if not structures:
        return []
    predicted = predictions(force_field, Loader(_graphs(structures, force_field), 8))
    forces = np.split(predicted.forces, np.cumsum(predicted.n_atoms)[:-1])
    labelled = []
    for index, atoms in enumerate(structures):
        made = {name: value for name, value in atoms.info.items() if name == "made"}
        atoms = Atoms(
            numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=made
        )
        results = {"energy": float(predicted.energy[index]), "forces": forces[index].astype(float)}
        if np.isfinite(predicted.stress[index]).all():
            results["stress"] = full_3x3_to_voigt_6_stress(predicted.stress[index].astype(float))
        atoms.calc = SinglePointCalculator(atoms, **results)
        labelled.append(atoms)
    return labelled


def _graphs(structures: Sequence[Atoms], force_field: ForceField) -> list[AtomGraph]:
    dtype = next(p.dtype for p in force_field.parameters() if p.is_floating_point())
    return build_graphs(structures, force_field.cutoff, dtype=dtype)
