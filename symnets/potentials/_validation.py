"""Validation of a potential: its errors, its best model, and the lines printed before and after training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from rich.console import Console
from torch import nn

from symnets.data import Loader, Statistics, counts_in_words
from symnets.models import ForceField, TensorModel, save
from symnets.observables import errors, predictions, tensor_error, tensor_predictions
from symnets.potentials._config import TrainConfig
from symnets.potentials._tensor_statistics import TensorStatistics
from symnets.provenance import provenance
from symnets.training import Callback, History, Processes, ProgressBar, ProgressLines, TrainState


def criterion(config: TrainConfig) -> str:
    """Name of the validation error by which the best model is chosen.

    It is the RMSE of the first of forces, energy per atom and stress whose weight in the loss is not zero. If
    all are zero, it is that of the tensors in units of their standard deviations.
    """
    quantity = config.loss.best_by or "tensors"
    return f"validation/{'energy_per_atom' if quantity == 'energy' else quantity}_rmse"


def validation_errors(
    state: TrainState,
    loader: Loader,
    tensors: Mapping[str, TensorStatistics] | None = None,
    processes: Processes = Processes(),  # noqa: B008 (it cannot be changed)
) -> dict[str, float]:
    """MAE and RMSE of all labelled quantities, in eV, eV/Å, eV/Å³ and the units of the tensors' labels.

    `tensors_rmse` is the root mean square of the tensors' RMSE, each in units of the label's standard
    deviation, if there is a label. With several processes, each has a loader of its part of the structures,
    and all get the errors over all structures.
    """
    model = state.ema_model
    if not isinstance(model, TensorModel):
        return _energy_errors(model, loader, processes)
    measured = {} if model.force_field is None else _energy_errors(model.force_field, loader, processes)
    squares = []
    for name, values in tensor_predictions(model, loader).items():
        if (error := tensor_error(processes.gathered(values))) is not None and tensors is not None:
            measured |= {f"{name}_mae": error.mae, f"{name}_rmse": error.rmse}
            squares.append((error.rmse / np.sqrt(np.mean(np.square(tensors[name].deviation)))) ** 2)
    if squares:
        measured["tensors_rmse"] = float(np.sqrt(np.mean(squares)))
    return measured


def _energy_errors(model: nn.Module, loader: Loader, processes: Processes) -> dict[str, float]:
    """MAE and RMSE of those of energies, forces and stress that are labelled."""
    measured = errors(processes.gathered(predictions(model, loader)))
    named = {
        "energy_per_atom": measured.energy_per_atom,
        "energy": measured.energy,
        "forces": measured.forces,
        "stress": measured.stress,
    }
    return {
        f"{name}_{kind}": getattr(error, kind)
        for name, error in named.items()
        if error is not None
        for kind in ("mae", "rmse")
    }


class BestModel(Callback):
    """Callback that saves the model whenever its validation error is the lowest so far.

    Raises:
        ValueError: a record lacks that error because no validation structure has the label.
    """

    def __init__(self, path: Path, criterion: str, config: dict[str, Any]) -> None:
        self.path, self.criterion, self.config = path, criterion, config

    def after_record(self, state: TrainState, row: Any) -> None:
        """Save the model if its error is the lowest so far."""
        if self.criterion not in row:
            label = self.criterion.removeprefix("validation/").rsplit("_", 1)[0]
            label = "energy" if label == "energy_per_atom" else label
            raise ValueError(
                f"the best model is chosen by {self.criterion}, but the validation structures have no "
                f"{label}; label them, or give loss.{label} the weight 0"
            )
        if state.history.is_best(self.criterion):
            model = state.ema_model
            assert isinstance(model, ForceField | TensorModel)
            extra = {"training": self.config, "errors": dict(row), "provenance": provenance()}
            self.write(model, extra)

    def write(self, model: ForceField | TensorModel, extra: Mapping[str, Any]) -> None:
        """Write the model to its file."""
        save(model, self.path, extra=extra)


# By name of the observable: its label, the factor that converts it to the label's unit, and its format.
PRINTED_ERRORS = {
    "validation/energy_per_atom_mae": ("E MAE meV/atom", 1000.0, ".2f"),
    "validation/forces_rmse": ("F RMSE meV/Å", 1000.0, ".1f"),
    "validation/stress_rmse": ("stress RMSE meV/Å³", 1000.0, ".2f"),
}


def printed_errors(config: TrainConfig) -> dict[str, tuple[str, float, str]]:
    """Errors of energies, tensors and the replay set to print during training, as in `PRINTED_ERRORS`."""
    tensors = {
        f"validation/{name}_rmse": (f"{name} RMSE {tensor.unit_of(name)}".rstrip(), 1.0, ".4g")
        for name, tensor in config.tensors.items()
        if tensor.weight
    }
    forgotten = {} if config.finetune is None else {"replay/forces_rmse": ("replay F RMSE", 1000.0, ".1f")}
    return (PRINTED_ERRORS if config.has_energies else {}) | tensors | forgotten


def progress_callback(config: TrainConfig, total: int, used: float) -> Callback:
    """Progress bar on a terminal or in a notebook, and lines of text elsewhere.

    Args:
        config: configuration of the training.
        total: number of steps of the training.
        used: seconds that earlier sessions of a resumed training took.
    """
    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        return ProgressLines(total, show=printed_errors(config), console=console)
    seconds = None if config.max_minutes is None else used + 60 * config.max_minutes
    return ProgressBar(total, seconds=seconds, show=printed_errors(config), console=console)


def before_training(
    stats: Statistics,
    n_validation: int,
    model: ForceField | TensorModel,
    tensors: Mapping[str, TensorStatistics] | None = None,
) -> list[str]:
    """Lines on data and model that are printed before training."""
    symbols = [chemical_symbols[number] for number in stats.species]
    energies = ", ".join(f"{s} {energy:.3f}" for s, energy in zip(symbols, stats.energies, strict=True))
    counts, of_atoms = dict(stats.labelled), ""
    for name, tensor in (tensors or {}).items():
        if tensor.output.of_atoms:
            of_atoms += f"; {name} of {tensor.n_labelled:,} of {tensor.n:,} atoms"
        else:
            counts[name] = tensor.n_labelled
    labels = counts_in_words(counts, stats.n_structures) + of_atoms
    if 0 < stats.n_with_stress < stats.n_structures:
        labels += f"; {stats.n_structures - stats.n_with_stress} of {stats.n_structures} can have no stress"
    n_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    lines = [
        f"structures   {stats.n_structures} to train on, {n_validation} to validate on",
        f"labels       {labels}",
        *stats.notes,
        f"species      {' '.join(symbols)}",
        f"parameters   {n_parameters:,}",
        f"neighbours   {stats.mean_neighbors:.1f} of an atom within {model.cutoff:g} Å, on average",
    ]
    if not isinstance(model, TensorModel) or model.force_field is not None:
        lines.append(f"references   {energies} eV ({stats.source})")
    return lines


def data_warnings(stats: Statistics) -> list[str]:
    """Warnings on the data that are printed before training.

    They concern labels that may be in a wrong unit, validation structures that are also trained on, and
    reference energies that the data do not determine.
    """
    warnings = [*stats.suspicious, *stats.duplicates]
    if stats.source == "least squares" and stats.rank < len(stats.species):
        warnings.append(
            f"the training structures' formulas determine only {stats.rank} combination"
            f"{'' if stats.rank == 1 else 's'} of the reference energies of {len(stats.species)} species: "
            "energies of other formulas would be far off; if you need those, set data.isolated_atoms"
        )
    return warnings


def after_training(
    history: History, criterion: str, model: Path, show: Mapping[str, tuple[str, float, str]] = PRINTED_ERRORS
) -> list[str]:
    """Lines on the best model and its errors that are printed after training."""
    rows = [row for row in history.rows if criterion in row]
    if not rows:
        return ["no validation was done yet, so no model is saved"]
    if (index := history.best(criterion)) is None:
        return [
            f"{criterion} was NaN or infinite at every validation, so no model is saved; lower the learning "
            "rate, and check the validation structures for atoms that are too close"
        ]
    best: Mapping[str, float] = rows[index]
    parts = [f"{label} {best[name] * by:{form}}" for name, (label, by, form) in show.items() if name in best]
    return [f"best model   {', '.join(parts)} at step {best['step']:.0f}", f"saved as     {model}"]
