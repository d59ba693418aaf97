"""Data of a potential: labelled graphs and their statistics, from a configuration."""

from collections.abc import Sequence
from dataclasses import asdict

import torch
from ase import Atoms
from ase.data import chemical_symbols

from symnets.data import (
    AtomGraph,
    Statistics,
    add_tensor_labels,
    build_graphs,
    find_data,
    has_stress,
    is_isolated_atom,
    isolated_atoms,
    read_structures,
    split,
    statistics,
)
from symnets.potentials._config import DataConfig, TrainConfig


def load_data(config: TrainConfig) -> tuple[list[AtomGraph], list[AtomGraph], Statistics]:
    """Training graphs, validation graphs, and the statistics of the former.

    Structures marked as isolated atoms (`config_type=IsolatedAtom`) are neither trained nor validated on.
    Those of the training file give the reference energies, unless `data.isolated_atoms` does.

    Raises:
        FileNotFoundError: a file is neither here nor in the folder SYMNETS_DATA.
        ValueError: a structure lacks energy or forces, or a crystal stress, whose weight in the loss is not
            zero; no structure to train or to validate on has a stress or a tensor, though its weight is not
            zero; the energy of an isolated atom is missing; or there are too few structures.
    """
    data, weights = config.data, asdict(config.loss)
    require = [name for name in ("energy", "forces", "stress") if weights[name]]
    structures, isolated = _read(data.train, data, require)
    if data.validation is not None:
        held_out, _ = _read(data.validation, data, require)
        n_train = len(structures) if data.n_train is None else data.n_train
        _check_enough(data, len(structures), n_train)
        (for_training,) = split(len(structures), (n_train,), config.seed)
        (for_validation,) = split(len(held_out), (min(data.n_validation, len(held_out)),), config.seed)
    else:
        held_out = structures
        n_train = max(len(structures) - data.n_validation, 1) if data.n_train is None else data.n_train
        _check_enough(data, len(structures), n_train + data.n_validation)
        for_training, for_validation = split(len(structures), (n_train, data.n_validation), config.seed)
    names, train = zip(*(structures[i] for i in for_training), strict=True)
    validation_names, validation = zip(*(held_out[i] for i in for_validation), strict=True)
    files = data.train, data.validation or data.train
    if "stress" in require:
        _check_stress(files[0], "training", train)
    if require == ["stress"]:  # the best model is chosen by it
        _check_stress(files[1], "validation", validation)
    cutoff, dtype = config.model.cutoff, getattr(torch, config.dtype)
    train_graphs = build_graphs(train, cutoff, dtype=dtype, names=names)
    validation_graphs = build_graphs(validation, cutoff, dtype=dtype, names=validation_names)
    if columns := {name: tensor.column(name) for name, tensor in config.tensors.items() if tensor.weight}:
        add_tensor_labels(train_graphs, train, columns, source=files[0], names=names)
        add_tensor_labels(validation_graphs, validation, columns, source=files[1], names=validation_names)
    energies = _isolated_energies(config, isolated, train)
    return train_graphs, validation_graphs, statistics(train_graphs, isolated=energies)


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


def _read(path: str, data: DataConfig, require: Sequence[str]) -> tuple[list[tuple[str, Atoms]], list[Atoms]]:
    """Structures of a file of the configuration with their names, and the isolated atoms among them."""
    structures = read_structures(
        find_data(path),
        energy_key=data.energy_key,
        forces_key=data.forces_key,
        stress_key=data.stress_key,
        virial_key=data.virial_key,
        stress_convention=data.stress_convention,
        require=require,
    )
    isolated = [atoms for atoms in structures if is_isolated_atom(atoms)]
    others = [
        (f"{path}, frame {frame}", atoms)
        for frame, atoms in enumerate(structures)
        if not is_isolated_atom(atoms)
    ]
    if not others:
        raise ValueError(f"{path}: expected structures, got isolated atoms only (config_type)")
    return others, isolated


def _check_stress(path: str, use: str, structures: Sequence[Atoms]) -> None:
    """Raise ValueError if no structure has a stress to learn or to validate on."""
    if any(atoms.calc is not None and "stress" in atoms.calc.results for atoms in structures):
        return
    reason, cure = "is periodic and has a volume, so none has a stress", ""
    if any(has_stress(atoms.cell.array, atoms.pbc) for atoms in structures):
        reason, cure = "has a stress", "name its key with data.stress_key or data.virial_key, or "
    raise ValueError(
        f"{path}: none of the {len(structures)} structures for {use} {reason}; {cure}choose others, or set "
        "loss.stress to 0"
    )


def _isolated_energies(
    config: TrainConfig, marked: Sequence[Atoms], structures: Sequence[Atoms]
) -> dict[int, float] | None:
    """Energies of the isolated atoms; None for the least-squares fit."""
    data = config.data
    if data.isolated_atoms is not None:
        path, marked = (
            data.isolated_atoms,
            read_structures(find_data(data.isolated_atoms), energy_key=data.energy_key, require=("energy",)),
        )
    elif marked and config.loss.energy:
        path = data.train
    else:
        return None
    energies = isolated_atoms(marked, cutoff=config.model.cutoff)
    species = {int(number) for atoms in structures for number in atoms.numbers}
    if missing := sorted(species - energies.keys()):
        symbols = ", ".join(chemical_symbols[number] for number in missing)
        raise ValueError(
            f"{path}: no isolated atom of {symbols}, which {data.train} contains; expected for each species "
            f"a structure of one atom, without periodic image within {config.model.cutoff:g} Å or with "
            "config_type=IsolatedAtom"
        )
    return energies
