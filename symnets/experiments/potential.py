"""Train a potential on labelled structures: from a configuration to a model file."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from symnets.data import AtomGraph, Loader, Statistics
from symnets.experiments.config import write_config
from symnets.experiments.device import usable_device
from symnets.experiments.potential_config import NequIPConfig, TrainConfig
from symnets.experiments.potential_data import load_data
from symnets.experiments.potential_identity import check_identity, identity
from symnets.experiments.potential_summary import SHOW, after_training, before_training, underdetermined
from symnets.experiments.progress_lines import ProgressLines
from symnets.models import ForceField, Invariant, NequIP, WithZBL, save
from symnets.observables import errors, predictions
from symnets.training import (
    Callback,
    Checkpoint,
    CSVLog,
    ProgressBar,
    StopRule,
    TensorBoardLog,
    Trainer,
    TrainState,
    averaged,
    descend,
    diverged,
    energy_term,
    every,
    first_of,
    forces_term,
    learning_rate,
    max_steps,
    no_improvement,
    stress_term,
    wall_time,
    weighted_sum,
    with_average,
)


def train(
    config: TrainConfig, *, resume: bool = False, progress: bool = True, summary: bool = False
) -> TrainState:
    """Train as configured; the folder `config.output` then holds

    - `model.safetensors`: the best model on the validation structures, with its errors,
    - `checkpoint.safetensors`: the last state of the training, from which `resume` goes on,
    - `config.yaml`, `history.csv`, `tensorboard/`.

    Args:
        config: see `TrainConfig`.
        resume: go on from the checkpoint, if there is one, as if nothing had happened.
        progress: show a progress bar on standard error; lines, if that is no terminal.
        summary: say on standard error what is trained on, and how well it ended.

    Returns:
        the last state; `state.history.reason` tells why it ended.

    Raises:
        FileExistsError: the folder holds a training and `resume` was not asked for.
        ValueError: the checkpoint is of another configuration or other data, see `check_identity`; the
            data are too few or lack labels, see `load_data`; the device cannot be used.
        FloatingPointError: the loss is no longer finite.
    """
    folder = Path(config.output)
    checkpoint = Checkpoint(folder / "checkpoint.safetensors", config.checkpoint_every)
    if not resume and (checkpoint.path.exists() or (folder / "model.safetensors").exists()):
        raise FileExistsError(f"{folder} holds a training: go on with --resume, or choose another --output")
    usable_device(config.device)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    train_graphs, validation_graphs, stats = load_data(config)
    checkpoint.fingerprint = identity(config, train_graphs, validation_graphs, stats)
    going_on = resume and checkpoint.path.exists()
    if going_on:
        check_identity(checkpoint.path, checkpoint.fingerprint, config)
    loader = Loader(train_graphs, config.optimizer.batch_size, shuffle=True, seed=config.seed)
    model = build_model(config, stats)
    state, total = build_state(config, model, len(loader))
    if going_on:
        checkpoint.restore(state)

    console = Console(stderr=True)
    if summary:
        _say(console, before_training(stats, len(validation_graphs), model))
        if warning := underdetermined(stats):
            _say(console, [f"warning: {warning}"], style="yellow")
    folder.mkdir(parents=True, exist_ok=True)
    write_config(config, folder / "config.yaml")
    rules = [max_steps(total), diverged()]
    if config.max_minutes is not None:
        rules.append(wall_time(60 * config.max_minutes))
    if config.patience is not None:
        rules.append(no_improvement(criterion(config), config.patience))
    stop = first_of(*rules)
    if reason := stop(state):
        state.history.reason = reason
    else:
        _fit(config, state, total, stop, loader, validation_graphs, checkpoint, progress=progress)
    if reason := diverged()(state):
        raise FloatingPointError(reason)
    if summary:
        _say(console, after_training(state.history, criterion(config), folder / "model.safetensors"))
    return state


def _say(console: Console, lines: Iterable[str], style: str | None = None) -> None:
    for line in lines:
        console.print(line, style=style, soft_wrap=True, highlight=False, markup=False)


def _fit(
    config: TrainConfig,
    state: TrainState,
    total: int,
    stop: StopRule,
    loader: Loader,
    validation_graphs: Sequence[AtomGraph],
    checkpoint: Checkpoint,
    *,
    progress: bool,
) -> None:
    """Move the state until the rule says stop, and keep in the folder what comes of it."""
    folder = Path(config.output)
    loss = weighted_sum(
        (config.loss.energy, energy_term(config.loss.huber)),
        (config.loss.forces, forces_term(config.loss.huber)),
        (config.loss.stress, stress_term(config.loss.huber)),
    )
    dynamics = descend(state, loss, loader, clip_norm=config.optimizer.clip_norm)
    if config.optimizer.average is not None:
        dynamics = averaged(dynamics, config.optimizer.average)
    validation = Loader(validation_graphs, max(config.optimizer.batch_size, 25))
    callbacks: list[Callback] = [
        BestModel(folder / "model.safetensors", criterion(config), asdict(config)),
        CSVLog(folder / "history.csv"),
        TensorBoardLog(folder / "tensorboard"),
        checkpoint,
    ]
    if progress:
        callbacks.append(_progress(config, total))
    Trainer(
        stop=stop,
        observables={"validation": lambda state: validation_errors(state, validation)},
        record=every(config.validate_every or max(len(loader), 50)),
        callbacks=callbacks,
    ).fit(dynamics)


def _progress(config: TrainConfig, total: int) -> Callback:
    """A bar on a terminal or in a notebook; lines elsewhere, where a bar would not show."""
    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        return ProgressLines(total, show=SHOW, console=console)
    seconds = None if config.max_minutes is None else 60 * config.max_minutes
    return ProgressBar(total, seconds=seconds, show=SHOW, console=console)


def build_model(config: TrainConfig, stats: Statistics) -> ForceField:
    """A force field with fresh weights, normalised by the statistics of its data."""
    options = asdict(config.model)
    architecture, zbl = options.pop("architecture"), options.pop("zbl")
    cls = NequIP if isinstance(config.model, NequIPConfig) else Invariant
    assert cls.__name__ == architecture
    energy_model = cls(
        stats.species,
        **options,
        mean_neighbors=max(stats.mean_neighbors, 1.0),
        # An atom of the training data, on average: what is left to learn is of the order of `scale`.
        shift=[energy + stats.cohesion for energy in stats.energies],
        scale=stats.force_rms if stats.force_rms > 0 else 1.0,
    )
    force_field = ForceField(WithZBL(energy_model) if zbl else energy_model)
    return force_field.to(device=config.device, dtype=getattr(torch, config.dtype))


def build_state(config: TrainConfig, model: ForceField, batches: int) -> tuple[TrainState, int]:
    """The state at step 0, and the number of steps of the whole training."""
    options = config.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
        amsgrad=options.amsgrad,
        fused=True,
    )
    total = options.epochs * batches
    schedule = learning_rate(
        optimizer, total, decay=options.decay, warmup=options.warmup, final=options.final
    )
    state = TrainState(model, optimizer, schedule)
    return (state if options.average is None else with_average(state)), total


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
            save(model, self.path, extra={"training": self.config, "errors": dict(row)})
