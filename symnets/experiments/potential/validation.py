"""Validation of a potential: its errors, and the model that has the lowest."""

from pathlib import Path
from typing import Any

from symnets.data import Loader
from symnets.experiments.potential.config import TrainConfig
from symnets.experiments.provenance import provenance
from symnets.models import ForceField, save
from symnets.observables import errors, predictions
from symnets.training import Callback, TrainState


def criterion(config: TrainConfig) -> str:
    """What chooses the best model: the error of forces, energy or stress, the first that has weight."""
    if config.loss.forces:
        return "validation/forces_rmse"
    return "validation/energy_per_atom_rmse" if config.loss.energy else "validation/stress_rmse"


def validation_errors(state: TrainState, loader: Loader) -> dict[str, float]:
    """MAE and RMSE of what is labelled, in eV, eV/Å and eV/Å³."""
    found = errors(predictions(state.best_guess, loader))
    named = {
        "energy_per_atom": found.energy_per_atom,
        "energy": found.energy,
        "forces": found.forces,
        "stress": found.stress,
    }
    return {
        f"{name}_{kind}": getattr(error, kind)
        for name, error in named.items()
        if error is not None
        for kind in ("mae", "rmse")
    }


class BestModel(Callback):
    """Save the model whenever its validation error is the lowest so far.

    Raises:
        ValueError: a record lacks that error, since no validation structure has the label.
    """

    def __init__(self, path: Path, criterion: str, config: dict[str, Any]) -> None:
        self.path, self.criterion, self.config = path, criterion, config

    def after_record(self, state: TrainState, row: Any) -> None:
        """Save if best."""
        if self.criterion not in row:
            label = self.criterion.removeprefix("validation/").split("_")[0]
            raise ValueError(
                f"the best model is chosen by {self.criterion}, but the validation structures have no "
                f"{label}; label them, or give loss.{label} the weight 0"
            )
        if state.history.is_best(self.criterion):
            model = state.best_guess
            assert isinstance(model, ForceField)
            extra = {"training": self.config, "errors": dict(row), "provenance": provenance()}
            save(model, self.path, extra=extra)
