"""Train a potential on labelled structures: from a configuration to a model file."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch
from rich.console import Console

from symnets.config import write_config
from symnets.data import AtomGraph, Loader
from symnets.device import usable_device
from symnets.files import expanded, locked
from symnets.potentials._config import TrainConfig
from symnets.potentials._data import load_data
from symnets.potentials._identity import check_identity, identity
from symnets.potentials._model import build_model, build_state
from symnets.potentials._tensor_statistics import TensorStatistics, tensor_statistics
from symnets.potentials._validation import (
    BestModel,
    after_training,
    before_training,
    criterion,
    data_warnings,
    shown,
    validation_errors,
)
from symnets.training import (
    Callback,
    Checkpoint,
    CSVLog,
    ProgressBar,
    ProgressLines,
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
    max_steps,
    no_improvement,
    stress_term,
    tensor_term,
    wall_time,
    weighted_sum,
)


def train(
    config: TrainConfig, *, resume: bool = False, progress: bool = True, summary: bool = False
) -> TrainState:
    """Train a potential from its configuration.

    Afterwards the folder `config.output` contains

    - `model.safetensors`: the best model on the validation structures, with its errors,
    - `checkpoint.safetensors`: the last state of the training, from which `resume` continues,
    - `config.yaml`, `history.csv`, `tensorboard/`.

    Args:
        config: see `TrainConfig`.
        resume: continue from the checkpoint, if there is one.
        progress: show a progress bar on standard error; lines, if that is no terminal.
        summary: print data, model and final errors on standard error.

    Returns:
        the last state; `state.history.reason` is the reason why training ended.

    Raises:
        FileExistsError: the folder contains a training and `resume` is false, or a process trains there.
        ValueError: the checkpoint is of another configuration or other data, see `check_identity`; the
            data are too few or lack labels, see `load_data`; the device cannot be used.
        FloatingPointError: the loss is no longer finite.
    """
    config = replace(config, output=str(expanded(config.output)))
    with locked(config.output):
        return _train(config, resume=resume, progress=progress, summary=summary)


def _train(config: TrainConfig, *, resume: bool, progress: bool, summary: bool) -> TrainState:
    """Train in a folder that is locked."""
    folder = Path(config.output)
    checkpoint = Checkpoint(folder / "checkpoint.safetensors", config.checkpoint_every)
    if not resume and (checkpoint.path.exists() or (folder / "model.safetensors").exists()):
        raise FileExistsError(
            f"{folder} already contains a training; pass --resume to continue it, or choose another --output"
        )
    device = usable_device(config.device)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    train_graphs, validation_graphs, stats = load_data(config)
    checkpoint.fingerprint = today = identity(config, train_graphs, validation_graphs, stats)
    resuming = resume and checkpoint.path.exists()
    if resuming:
        checkpoint.fingerprint = check_identity(checkpoint.path, checkpoint.fingerprint, config)
    loader = Loader(train_graphs, config.optimizer.batch_size, shuffle=True, seed=config.seed)
    tensors = {
        name: tensor_statistics(name, tensor.output(name), train_graphs, stats.species)
        for name, tensor in config.tensors.items()
        if tensor.weight
    }
    model = build_model(config, stats, {name: tensor.output for name, tensor in tensors.items()})
    state, total = build_state(config, model, len(loader))
    if resuming:
        checkpoint.restore(state)
        if checkpoint.fingerprint != today:  # written by an older symnets
            checkpoint.fingerprint = today
            checkpoint.write(state)

    console = Console(stderr=True)
    if summary:
        _print(console, before_training(stats, len(validation_graphs), model, tensors))
        _print(console, [f"warning: {warning}" for warning in data_warnings(stats)], style="yellow")
    write_config(config, folder / "config.yaml")
    rules = [max_steps(total), diverged()]
    if config.max_minutes is not None:
        rules.append(wall_time(60 * config.max_minutes, since=state.seconds))
    if config.patience is not None:
        rules.append(no_improvement(criterion(config), config.patience))
    stop = first_of(*rules)
    if reason := stop(state):
        state.history.reason = reason
    else:
        with _same_bits(device) if config.deterministic else nullcontext():
            _fit(
                config, state, total, stop, loader, validation_graphs, tensors, checkpoint, progress=progress
            )
    if reason := diverged()(state):
        raise FloatingPointError(reason)
    if summary:
        lines = after_training(state.history, criterion(config), folder / "model.safetensors", shown(config))
        _print(console, lines)
    return state


@contextmanager
def _same_bits(device: torch.device) -> Iterator[None]:
    """Context in which a GPU sums in a fixed order, with a warning where torch has no algorithm for it."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by torch
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)


def _print(console: Console, lines: Iterable[str], style: str | None = None) -> None:
    for line in lines:
        console.print(line, style=style, soft_wrap=True, highlight=False, markup=False)


def _fit(
    config: TrainConfig,
    state: TrainState,
    total: int,
    stop: StopRule,
    loader: Loader,
    validation_graphs: Sequence[AtomGraph],
    tensors: Mapping[str, TensorStatistics],
    checkpoint: Checkpoint,
    *,
    progress: bool,
) -> None:
    """Train until the stop rule holds; model, checkpoint and logs are written to the folder."""
    folder = Path(config.output)
    loss = weighted_sum(
        (config.loss.energy, energy_term(config.loss.huber)),
        (config.loss.forces, forces_term(config.loss.huber)),
        (config.loss.stress, stress_term(config.loss.huber)),
        *(
            (
                config.tensors[name].weight,
                tensor_term(name, of_atoms=tensor.output.of_atoms, unit=tensor.deviation),
            )
            for name, tensor in tensors.items()
        ),
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
        callbacks.append(_progress(config, total, state.seconds))
    Trainer(
        stop=stop,
        observables={"validation": lambda state: validation_errors(state, validation, tensors)},
        record=every(config.validate_every or max(len(loader), 50)),
        callbacks=callbacks,
    ).fit(dynamics)


def _progress(config: TrainConfig, total: int, used: float) -> Callback:
    """A progress bar on a terminal or in a notebook, lines elsewhere; `used` seconds were in earlier jobs."""
    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        return ProgressLines(total, show=shown(config), console=console)
    seconds = None if config.max_minutes is None else used + 60 * config.max_minutes
    return ProgressBar(total, seconds=seconds, show=shown(config), console=console)
