"""Train a potential on labelled structures: from a configuration to a model file."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from symnets.config import write_config
from symnets.data import AtomGraph, Loader, Statistics
from symnets.device import deterministic_algorithms, usable_device
from symnets.files import expanded, locked
from symnets.models import ForceField, TensorModel, foundation_file
from symnets.potentials._config import TrainConfig
from symnets.potentials._data import load_data
from symnets.potentials._finetune import BestFinetuned, Start, load_foundation, start_finetuning
from symnets.potentials._finetune_report import finetune_report
from symnets.potentials._identity import check_identity, data_digest, identity
from symnets.potentials._model import build_model, build_state, training_loss
from symnets.potentials._tensor_statistics import TensorStatistics, tensor_statistics
from symnets.potentials._validation import (
    BestModel,
    after_training,
    before_training,
    criterion,
    data_warnings,
    printed_errors,
    progress_callback,
    validation_errors,
)
from symnets.report import terminal_table
from symnets.training import (
    INTERRUPTED,
    Callback,
    Checkpoint,
    CSVLog,
    Observable,
    Processes,
    StopRule,
    TensorBoardLog,
    Trainer,
    TrainState,
    averaged,
    descend,
    diverged,
    every,
    first_of,
    joined_processes,
    max_steps,
    no_improvement,
    wall_time,
)


def train(
    config: TrainConfig, *, resume: bool = False, progress: bool = True, summary: bool = False
) -> TrainState:
    """Train a potential from its configuration.

    Afterwards the folder `config.output` contains

    - `model.safetensors`: the best model on the validation structures, with its errors,
    - `checkpoint.safetensors`: the last state of the training, from which `resume` continues,
    - `config.yaml`, `history.csv`, `tensorboard/`.

    Several processes that torchrun started train one model together, see `Processes`: each takes a part of
    every batch, and the first writes the files.

    Args:
        config: see `TrainConfig`.
        resume: continue from the checkpoint, if there is one.
        progress: show a progress bar on standard error, or lines if that is not a terminal.
        summary: print data, model and final errors on standard error.

    Returns:
        the last state; its `history.reason` says why training ended.

    Raises:
        FileExistsError: the folder contains a run and `resume` is false, or a process trains there.
        ValueError: the checkpoint is of another configuration or other data, see `check_identity`; the
            data are too few or lack labels, see `load_data`; the device cannot be used.
        FloatingPointError: the loss is no longer finite.
        ConnectionError: another process of this training ended.
    """
    config = replace(config, output=str(expanded(config.output)))
    with joined_processes(config.device) as processes, ExitStack() as stack:
        config, prepared = start_training(config, processes, stack, resume=resume)
        return _train(config, prepared, processes, progress=progress, summary=summary)


def start_training(
    config: TrainConfig, processes: Processes, stack: ExitStack, *, resume: bool
) -> tuple[TrainConfig, "Prepared"]:
    """Lock the output folder, and prepare the training; the configuration gets the model's architecture.

    The folder stays locked until `stack` is closed.
    """
    with processes.synchronized():
        if processes.first:
            stack.enter_context(locked(config.output))
            if not resume:
                _check_new(Path(config.output))
            if config.finetune is not None:
                foundation_file(config.finetune.model)  # downloads it before the others look for it
    with processes.synchronized():
        foundation = None
        if config.finetune is not None:
            foundation, config = load_foundation(config)
        return config, prepare(config, foundation, processes, resume=resume)


def _check_new(folder: Path) -> None:
    """Raise FileExistsError if a folder contains a run."""
    if any((folder / name).exists() for name in ("checkpoint.safetensors", "model.safetensors")):
        raise FileExistsError(
            f"{folder} already contains a run; pass --resume to continue it, or choose another --output"
        )


@dataclass(frozen=True)
class Prepared:
    """Everything that training starts from: state, data, statistics and checkpoint."""

    state: TrainState
    total: int
    """Steps of the whole training."""
    loader: Loader
    validation: Sequence[AtomGraph]
    stats: Statistics
    tensors: Mapping[str, TensorStatistics]
    checkpoint: Checkpoint
    start: Start | None
    """Start of a fine-tuning."""


def prepare(
    config: TrainConfig, foundation: ForceField | None, processes: Processes, *, resume: bool
) -> Prepared:
    """Prepare data, model and state; restore the state if there is a checkpoint to resume from."""
    checkpoint = Checkpoint(Path(config.output) / "checkpoint.safetensors", config.checkpoint_every)
    usable_device(config.device)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    train_graphs, validation_graphs, stats = load_data(config)
    resuming = resume and checkpoint.path.exists()
    start, data = None, data_digest(train_graphs, validation_graphs, stats)
    if foundation is not None:
        start = start_finetuning(config, foundation, train_graphs, stats, data, processes, resuming=resuming)
        data = start.digest
    checkpoint.fingerprint = current = identity(config, data)
    if resuming:
        checkpoint.fingerprint = check_identity(checkpoint.path, checkpoint.fingerprint, config)
    part, workers = (processes.rank, processes.size), 0 if config.data.in_memory else config.data.workers
    if start is None:
        size, seed = config.optimizer.batch_size, config.seed
        loader = Loader(train_graphs, size, shuffle=True, seed=seed, part=part, workers=workers)
    else:
        loader = start.loader(part=part, workers=workers)
    tensors = {
        name: tensor_statistics(name, tensor.output(name), train_graphs, stats.species)
        for name, tensor in config.tensors.items()
        if tensor.weight
    }
    if start is None:
        model = build_model(config, stats, {name: tensor.output for name, tensor in tensors.items()})
    else:
        model, stats = start.model, start.statistics(stats)
    state, total = build_state(config, model, len(loader))
    if resuming:
        checkpoint.restore(state)
        if checkpoint.fingerprint != current:  # written by an older symnets
            checkpoint.fingerprint = current
            if processes.first:
                checkpoint.write(state)
    return Prepared(state, total, loader, validation_graphs, stats, tensors, checkpoint, start)


def _train(
    config: TrainConfig, prepared: Prepared, processes: Processes, *, progress: bool, summary: bool
) -> TrainState:
    """Train from prepared data and state in a locked folder; only the first process writes and prints."""
    state, console, folder = prepared.state, Console(stderr=True), Path(config.output)
    summary = summary and processes.first
    processes.check_same_start(state.step, state.model, *([state.averaged] if state.averaged else []))
    if summary:
        assert isinstance(state.model, ForceField | TensorModel)
        lines = before_training(prepared.stats, len(prepared.validation), state.model, prepared.tensors)
        _print(console, lines if prepared.start is None else [*lines, *prepared.start.lines()])
        warnings = [f"warning: {warning}" for warning in data_warnings(prepared.stats)]
        if prepared.start is not None:
            warnings += [f"warning: {warning}" for warning in prepared.start.references.warnings]
        _print(console, warnings, style="yellow")
    if processes.first:
        write_config(config, folder / "config.yaml")
    rules = [max_steps(prepared.total), diverged()]
    if config.max_minutes is not None:
        rules.append(wall_time(60 * config.max_minutes, since=state.seconds))
    if config.patience is not None:
        rules.append(no_improvement(criterion(config), config.patience))
    stop = first_of(*rules)
    if reason := stop(state):
        state.history.reason = reason
    else:
        with deterministic_algorithms(state.device) if config.deterministic else nullcontext():
            _fit(config, prepared, stop, processes, progress=progress)
    with processes.synchronized():
        if reason := diverged()(state):
            raise FloatingPointError(reason)
    if summary:
        lines = after_training(
            state.history, criterion(config), folder / "model.safetensors", printed_errors(config)
        )
        _print(console, lines)
    whole = state.history.reason != INTERRUPTED and (folder / "model.safetensors").exists()
    if prepared.start is not None and processes.first and whole:
        table = finetune_report(prepared.start, prepared.validation, folder)
        if summary:
            console.print(terminal_table(table, "before and after"))
    return state


def _print(console: Console, lines: Iterable[str], style: str | None = None) -> None:
    for line in lines:
        console.print(line, style=style, soft_wrap=True, highlight=False, markup=False)


def _fit(
    config: TrainConfig, prepared: Prepared, stop: StopRule, processes: Processes, *, progress: bool
) -> None:
    """Train until the stop rule holds; model, checkpoint and logs are written to the folder."""
    state, loader, tensors = prepared.state, prepared.loader, prepared.tensors
    folder = Path(config.output)
    loss = training_loss(config, prepared.stats, tensors)
    dynamics = descend(state, loss, loader, clip_norm=config.optimizer.clip_norm, processes=processes)
    if config.optimizer.average is not None:
        dynamics = averaged(dynamics, config.optimizer.average)
    validation = Loader(processes.part(prepared.validation), max(config.optimizer.batch_size, 25))
    best = BestModel(folder / "model.safetensors", criterion(config), asdict(config))
    if prepared.start is not None:
        best = BestFinetuned(best.path, best.criterion, best.config, prepared.start.facts())
    callbacks: list[Callback] = [
        best,
        CSVLog(folder / "history.csv"),
        TensorBoardLog(folder / "tensorboard"),
        prepared.checkpoint,
    ]
    if progress:
        callbacks.append(progress_callback(config, prepared.total, state.seconds))
    # With fewer validation structures than processes, each process evaluates all of them.
    validating = processes if len(prepared.validation) >= processes.size else Processes()
    observables: dict[str, Observable] = {
        "validation": lambda state: validation_errors(state, validation, tensors, validating)
    }
    if prepared.start is not None and prepared.start.tests:
        tests = prepared.start.tests
        measuring = processes if len(tests) >= processes.size else Processes()
        replayed = Loader(processes.part(tests), max(config.optimizer.batch_size, 25))
        observables["replay"] = lambda state: validation_errors(state, replayed, {}, measuring)
    Trainer(
        stop=stop,
        observables=observables,
        record=every(config.validate_every or max(len(loader), 50)),
        callbacks=callbacks if processes.first else [],
        processes=processes,
    ).fit(dynamics)
