"""Data of a potential: labelled graphs and their statistics, from a configuration."""

from collections.abc import Sequence
from dataclasses import asdict

import torch
from ase import Atoms

from symnets.data import (
    AtomGraph,
    Statistics,
    build_graphs,
    find_data,
    isolated_atoms,
    read_structures,
    split,
    statistics,
)
from symnets.potentials._config import DataConfig, TrainConfig


def load_data(config: TrainConfig) -> tuple[list[AtomGraph], list[AtomGraph], Statistics]:
    """Training graphs, validation graphs, and the statistics of the former.

    Raises:
        FileNotFoundError: a file is neither here nor in the folder SYMNETS_DATA.
        ValueError: a structure lacks energy or forces, or a periodic one stress, whose weight in the loss
            is not zero; or there are too few structures.
    """
    data, weights = config.data, asdict(config.loss)
    require = [name for name in ("energy", "forces", "stress") if weights[name]]
    structures = _read(data.train, data, require)
    if data.validation is not None:
        held_out = _read(data.validation, data, require)
        n_train = len(structures) if data.n_train is None else data.n_train
        _check_enough(data, len(structures), n_train)
        (for_training,) = split(len(structures), (n_train,), config.seed)
        (for_validation,) = split(len(held_out), (min(data.n_validation, len(held_out)),), config.seed)
    else:
        held_out = structures
        n_train = max(len(structures) - data.n_validation, 1) if data.n_train is None else data.n_train
        _check_enough(data, len(structures), n_train + data.n_validation)
        for_training, for_validation = split(len(structures), (n_train, data.n_validation), config.seed)
    dtype = getattr(torch, config.dtype)
    train_graphs = build_graphs([structures[i] for i in for_training], config.model.cutoff, dtype=dtype)
    validation = build_graphs([held_out[i] for i in for_validation], config.model.cutoff, dtype=dtype)
    isolated = None
    if data.isolated_atoms is not None:
        isolated = isolated_atoms(
            read_structures(find_data(data.isolated_atoms), energy_key=data.energy_key, require=("energy",))
        )
    return train_graphs, validation, statistics(train_graphs, isolated=isolated)


def _check_enough(data: DataConfig, available: int, requested: int) -> None:
    """Raise ValueError if more structures are requested than the training file has."""
    if requested > available:
        n_train = "at least 1" if data.n_train is None else data.n_train
        shared = "" if data.validation else f" and data.n_validation = {data.n_validation}"
        raise ValueError(
            f"{data.train}: has {available} structures, but the configuration asks for data.n_train = "
            f"{n_train}{shared}; ask for fewer"
            + ("" if data.validation else ", or name a file of its own with data.validation")
        )


def _read(path: str, data: DataConfig, require: Sequence[str]) -> list[Atoms]:
    """Structures of a file of the configuration, with the labels that the loss needs."""
    structures = read_structures(
        find_data(path),
        energy_key=data.energy_key,
        forces_key=data.forces_key,
        stress_key=data.stress_key,
        stress_convention=data.stress_convention,
        require=[name for name in require if name != "stress"],
    )
    if "stress" in require:
        _check_stress(path, structures)
    return structures


def _check_stress(path: str, structures: Sequence[Atoms]) -> None:
    """Raise ValueError for a crystal without stress; molecules among crystals need none."""
    crystals = [frame for frame, atoms in enumerate(structures) if atoms.pbc.all()]
    if not crystals:
        raise ValueError(f"{path}: holds no periodic structure, so no stress; set loss.stress to 0")
    for frame in crystals:
        calculator = structures[frame].calc
        if calculator is None or "stress" not in calculator.results:
            raise ValueError(
                f"{path}, frame {frame}: no stress, though loss.stress is not 0; name its key with "
                "data.stress_key, or set loss.stress to 0"
            )
