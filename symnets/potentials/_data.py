"""Data of a potential: labelled graphs and their statistics, from a configuration."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from symnets.data import (
    AtomGraph,
    Frames,
    Statistics,
    add_tensor_labels,
    build_graphs,
    count_labels,
    counts_in_words,
    duplicates,
    find_data,
    find_data_files,
    has_stress,
    is_isolated_atom,
    isolated_atoms,
    keys_in_words,
    keys_present,
    read_files,
    read_structures,
    split,
    statistics,
    statistics_of_summaries,
)
from symnets.potentials._config import DataConfig, TrainConfig
from symnets.potentials._data_on_demand import ScannedGraphs, equal_structures, open_frames, scan_structures
from symnets.potentials._frame_weights import add_weights, check_weights, frame_weights, weights_in_words


def load_data(config: TrainConfig) -> tuple[Sequence[AtomGraph], Sequence[AtomGraph], Statistics]:
    """Training graphs, validation graphs, and the statistics of the training graphs.

    Any structure may lack any label, unless `data.require_all` is set: NaN marks a missing label, and the
    statistics count the labels. Structures marked as isolated atoms (`config_type=IsolatedAtom`) are neither
    trained nor validated on. Those in the training files give the reference energies, unless the file
    `data.isolated_atoms` does. `notes` of the statistics says what was set aside, and `duplicates` warns of
    validation structures that are also trained on.

    With `data.in_memory` false the graphs are made when they are taken, see `GraphsOnDemand`. The statistics
    need one pass through all of them, and only structures that are equal bit for bit count as duplicates.

    Raises:
        FileNotFoundError: a path is neither in the current folder nor in the folder SYMNETS_DATA, or a glob
            matches nothing.
        ValueError: a label whose weight in the loss is not zero is missing in all training structures (with
            `data.require_all`, in any of them); no validation structure has the label by which the best
            model is chosen; the energy of an isolated atom is missing; the weight of a structure is not a
            number of at least 0; or there are too few structures.
    """
    data = config.data
    needed = [name for name in ("energy", "forces", "stress") if asdict(config.loss)[name]]
    read = _read(data.train, data, needed)
    if read.frames is None:
        check_weights(read.source, [atoms for _, atoms in read.structures] + read.isolated, data)
    if data.validation is not None:
        other = _read(data.validation, data, needed)
        n_train = read.n if data.n_train is None else data.n_train
        _check_enough(data, read, n_train)
        (for_training,) = split(read.n, (n_train,), config.seed)
        n_validation = min(data.n_validation, other.n)
        (for_validation,) = split(other.n, (n_validation,), config.seed)
    else:
        other, n_all = read, read.n
        n_train = max(n_all - data.n_validation, 1) if data.n_train is None else data.n_train
        _check_enough(data, read, n_train + data.n_validation)
        for_training, for_validation = split(n_all, (n_train, data.n_validation), config.seed)
    if read.frames is not None and other.frames is not None:
        parts = (read.frames, read.rows[for_training]), (other.frames, other.rows[for_validation])
        return _on_demand(config, needed, (read, other), scan_structures(config, parts))
    chosen = [read.structures[i] for i in for_training], [other.structures[i] for i in for_validation]
    _check_labels(config, needed, (read.source, other.source), chosen)

    weights = frame_weights(chosen[0], data)
    train = _graphs(config, chosen[0], read.source)
    validation = _graphs(config, chosen[1], other.source)
    add_weights(train, weights)
    structures = [atoms for _, atoms in chosen[0]]
    energies, references = _isolated_energies(config, read, structures)
    stats = statistics(train, isolated=energies)
    notes = _notes(chosen[1], weights, _isolated_in_words(read, other, references))
    pairs = duplicates([atoms for _, atoms in chosen[1]], structures)
    return train, validation, replace(stats, notes=notes, duplicates=_duplicates_in_words(pairs, *chosen))


def _on_demand(
    config: TrainConfig,
    needed: Sequence[str],
    files: tuple["_Files", "_Files"],
    scanned: tuple[ScannedGraphs, ScannedGraphs],
) -> tuple[Sequence[AtomGraph], Sequence[AtomGraph], Statistics]:
    """Graphs made on demand and their statistics, after the checks that structures in memory undergo."""
    if any(tensor.weight for tensor in config.tensors.values()):
        raise ValueError("tensors: expected with data.in_memory, which reads their labels, got false")
    (read, other), (train, validation) = files, scanned
    examples = [atoms for _, atoms in train.examples]
    if read.frames is not None and len(train.graphs) + len(validation.graphs) == len(read.rows):
        check_weights(read.source, [*examples, *(atoms for _, atoms in validation.examples)], config.data)
    _check_labels(config, needed, (read.source, other.source), (train.examples, validation.examples))
    energies, references = _isolated_energies(config, read, examples)
    stats = statistics_of_summaries(train.summaries, isolated=energies)
    weights = None if train.graphs.weight is None else [summary.weight for summary in train.summaries]
    notes = _notes(validation.examples, weights, _isolated_in_words(read, other, references))
    pairs = equal_structures(train, validation)
    warning = _duplicates_in_words(pairs, train.examples, validation.examples)
    stats = replace(stats, notes=notes, duplicates=warning)
    return train.graphs, validation.graphs, stats


def _notes(validation: "NamedStructures", weights: Sequence[float] | None, isolated: str) -> tuple[str, ...]:
    """Lines to print on the labels of the validation structures, on weights and on isolated atoms."""
    notes = {"validation": _validation_labels(validation), "weights": weights_in_words(weights)}
    notes["isolated"] = isolated
    return tuple(f"{name:<12} {text}" for name, text in notes.items() if text)


NamedStructures = Sequence[tuple[str, Atoms]]
"""Structures with their names for messages."""


@dataclass(frozen=True)
class _Files:
    """Structures of the files of `data.train` or of `data.validation`."""

    source: str
    """Name of the file, or of the first of several, for messages."""
    structures: NamedStructures
    isolated: list[Atoms]
    """Structures marked as isolated atoms; `structures` does not contain them."""
    frames: Frames | None = None
    """Frames of the files, if they are read on demand; then `structures` is empty."""
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Indices of the frames that are not marked as isolated atoms."""

    @property
    def n(self) -> int:
        """Number of structures other than isolated atoms."""
        return len(self.structures) if self.frames is None else len(self.rows)


def _read(paths: str | list[str], data: DataConfig, needed: Sequence[str]) -> _Files:
    """Read the files of `data.train` or of `data.validation`."""
    files = find_data_files(paths)
    source = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more files"
    if not data.in_memory:
        frames = open_frames(files, data, needed)
        marked = frames.isolated()
        rows = np.setdiff1d(np.arange(len(frames)), marked)
        if not len(rows):
            raise ValueError(f"{source}: expected structures, got isolated atoms only (config_type)")
        return _Files(source, [], [frames[int(row)] for row in marked], frames, rows)
    read = read_files(
        files,
        energy_key=data.energy_key,
        forces_key=data.forces_key,
        stress_key=data.stress_key,
        virial_key=data.virial_key,
        stress_convention=data.stress_convention,
        require=needed if data.require_all else (),
    )
    structures = [(name, atoms) for name, atoms in read if not is_isolated_atom(atoms)]
    isolated = [atoms for _, atoms in read if is_isolated_atom(atoms)]
    if not structures:
        raise ValueError(f"{source}: expected structures, got isolated atoms only (config_type)")
    return _Files(source, structures, isolated)


def _check_enough(data: DataConfig, read: _Files, requested: int) -> None:
    """Raise ValueError if more structures are requested than there are for training."""
    if requested > read.n:
        n_train = "at least 1" if data.n_train is None else data.n_train
        shared = "" if data.validation else f" and data.n_validation = {data.n_validation}"
        raise ValueError(
            f"{read.source}: has {read.n} structures, but the configuration asks for "
            f"data.n_train = {n_train}{shared}; ask for fewer"
            + ("" if data.validation else ", or name a separate file with data.validation")
        )


def _graphs(config: TrainConfig, part: NamedStructures, source: str) -> list[AtomGraph]:
    """Graphs of structures with their labels, those of tensors included."""
    names, structures = zip(*part, strict=True)
    graphs = build_graphs(structures, config.model.cutoff, dtype=getattr(torch, config.dtype), names=names)
    if columns := {name: tensor.column(name) for name, tensor in config.tensors.items() if tensor.weight}:
        add_tensor_labels(graphs, structures, columns, source=source, names=names)
    return graphs


def _check_labels(
    config: TrainConfig,
    needed: Sequence[str],
    sources: tuple[str, str],
    parts: tuple[NamedStructures, NamedStructures],
) -> None:
    """Raise ValueError if no structure has a label to learn, or to choose the best model by."""
    train, validation = ([atoms for _, atoms in part] for part in parts)
    for name in needed:
        _check_label(sources[0], "training", name, train)
    if config.loss.best_by is not None:
        _check_label(sources[1], "validation", config.loss.best_by, validation)


_KEYS = {
    "energy": "data.energy_key",
    "forces": "data.forces_key",
    "stress": "data.stress_key or data.virial_key",
}
_WITH_ARTICLE = {"energy": "an energy", "forces": "forces", "stress": "a stress"}


def _check_label(source: str, use: str, name: str, structures: Sequence[Atoms]) -> None:
    if any(_has(name, atoms) for atoms in structures):
        return
    reason = f"has {_WITH_ARTICLE[name]}"
    cure, keys = f"name its key with {_KEYS[name]}, choose others", ""
    if name == "stress" and not any(has_stress(atoms.cell.array, atoms.pbc) for atoms in structures):
        reason, cure = "is periodic and has a volume, so none has a stress", "choose others"
    else:
        keys = f". {keys_in_words(keys_present(structures))}"
    raise ValueError(
        f"{source}: none of the {len(structures)} structures for {use} {reason}; {cure}, or set loss.{name} "
        f"to 0{keys}"
    )


def _has(name: str, atoms: Atoms) -> bool:
    return atoms.calc is not None and name in atoms.calc.results


def _isolated_energies(
    config: TrainConfig, read: _Files, structures: Sequence[Atoms]
) -> tuple[dict[int, float] | None, str]:
    """Energies of isolated atoms, and a phrase that says how structures marked as such are used.

    The energies are in eV, by atomic number; None if the reference energies are a least-squares fit.
    """
    data = config.data
    if data.isolated_atoms is not None:
        path, use = data.isolated_atoms, f"left out, since {data.isolated_atoms} gives the reference energies"
        marked: Sequence[Atoms] = read_structures(
            find_data(path), energy_key=data.energy_key, require=("energy",)
        )
    elif read.isolated and config.loss.energy:
        path, use, marked = read.source, "their energies are the references", read.isolated
    else:
        return None, "left out, since no reference energies are needed"
    energies = isolated_atoms(marked, cutoff=config.model.cutoff)
    species = {int(number) for atoms in structures for number in atoms.numbers}
    if missing := sorted(species - energies.keys()):
        symbols = ", ".join(chemical_symbols[number] for number in missing)
        raise ValueError(
            f"{path}: no isolated atom of {symbols}, which {read.source} contains; expected for each species "
            f"a structure of one atom, without periodic image within {config.model.cutoff:g} Å or with "
            "config_type=IsolatedAtom"
        )
    return energies, use


def _isolated_in_words(read: _Files, other: _Files, references: str) -> str:
    """Phrase on what was done with structures marked as isolated atoms; empty if there are none."""
    parts = []
    if read.isolated:
        symbols = " ".join(sorted({str(atoms.symbols[0]) for atoms in read.isolated}))
        parts.append(f"{len(read.isolated)} marked atoms ({symbols}) are not trained on: {references}")
    if other is not read and other.isolated:
        parts.append(f"{len(other.isolated)} of the validation structures are left out")
    return "; ".join(parts)


def _validation_labels(part: NamedStructures) -> str:
    labelled = [() if atoms.calc is None else atoms.calc.results for _, atoms in part]
    return counts_in_words(count_labels(labelled), len(part))


def _duplicates_in_words(
    pairs: Sequence[tuple[int, int]], train: NamedStructures, validation: NamedStructures
) -> tuple[str, ...]:
    """Warning of validation structures that are also trained on; empty if there are none."""
    if not pairs:
        return ()
    listed = "; ".join(f"{validation[i][0]} is {train[j][0]}" for i, j in pairs[:5])
    return (
        f"{len(pairs)} of {len(validation)} validation structures are also trained on, which makes their "
        f"errors too small: {listed}{'; ...' if len(pairs) > 5 else ''}",
    )
