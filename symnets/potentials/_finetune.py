"""Fine-tuning: training that starts from a foundation model in place of random weights."""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from pooch import file_hash
from torch import nn

from symnets.config import parse_config
from symnets.data import AtomGraph, Loader, Statistics
from symnets.device import usable_device
from symnets.models import (
    FROM_DATA,
    Compiled,
    ForceField,
    Heads,
    WithZBL,
    architectures,
    energy_network,
    foundation_file,
    foundation_model,
    save,
)
from symnets.potentials._config import TrainConfig
from symnets.potentials._finetune_config import FinetuneConfig
from symnets.potentials._graph_content import graph_content
from symnets.potentials._model_config import ModelConfig
from symnets.potentials._references import ReferenceShifts, add_shifts, reference_shifts
from symnets.potentials._replay import (
    MixedExamples,
    MixedLoader,
    Replay,
    read_replay,
    with_head,
    write_replay,
)
from symnets.potentials._strategies import apply_strategy, merge_updates
from symnets.potentials._validation import BestModel
from symnets.training import Processes

FOUNDATION_LEVEL = "model-foundation-level.safetensors"
"""File of the model with the head of the foundation model, beside the model with the head of the data."""


def load_foundation(config: TrainConfig) -> tuple[ForceField, TrainConfig]:
    """The foundation model of a configuration, and the configuration with its architecture as `model`.

    Raises:
        ValueError: the foundation model is compiled; the configuration has another architecture or cutoff, or
            tensors to learn; or `foundation_model` raises it.
    """
    finetune = _options(config)
    found = foundation_model(finetune.model, dtype=getattr(torch, config.dtype))
    if isinstance(found, Compiled):
        raise ValueError(
            f"{finetune.model}: a compiled model cannot be trained, since its tables are fixed; fine-tune "
            "the model it was made from, and compile the result"
        )
    if config.tensors:
        raise ValueError("tensors: expected none in a fine-tuning, which learns energies, forces and stress")
    body = energy_network(found.energy_model)
    cls = type(body)
    name = cls.__name__ if cls.__name__ in architectures() else f"{cls.__module__}:{cls.__qualname__}"
    options = {key: value for key, value in body.config.items() if key not in FROM_DATA}
    zbl = isinstance(found.energy_model, WithZBL)
    values = {"architecture": name, **options} | ({"zbl": True} if zbl else {})
    whole = {"data": {"train": ""}, "output": "", "model": values}
    architecture = parse_config(TrainConfig, whole).model
    if config.model not in (ModelConfig(), architecture):
        raise ValueError(
            f"model: a fine-tuning has the architecture of its foundation model, {name} with a cutoff of "
            f"{found.cutoff:g} Å, got {config.model.architecture} with {config.model.cutoff:g} Å; leave out "
            "the options of the model"
        )
    return found.to(usable_device(config.device)), replace(config, model=architecture)


def _options(config: TrainConfig) -> FinetuneConfig:
    assert config.finetune is not None
    return config.finetune


@dataclass(frozen=True)
class Start:
    """Start of a fine-tuning: the model to train, the examples, and how both were prepared."""

    config: TrainConfig
    foundation: ForceField
    """The foundation model, unchanged."""
    shifted: ForceField
    """The foundation model with the reference energies of the data."""
    model: ForceField
    """The model to train: `shifted`, with the heads, updates of weights and frozen weights of the options."""
    references: ReferenceShifts
    examples: Sequence[AtomGraph]
    """Structures of the data, and replayed ones."""
    replay: Replay
    digest: str
    """Hash of the data, the file of the foundation model, and the replayed structures."""

    def loader(self, *, part: tuple[int, int], workers: int) -> Loader:
        """Loader of the training examples; `part` and `workers` are those of a `Loader`."""
        size, seed = self.config.optimizer.batch_size, self.config.seed
        if not isinstance(self.examples, MixedExamples):
            return Loader(self.examples, size, shuffle=True, seed=seed, part=part, workers=workers)
        ratio = _options(self.config).replay_ratio
        return MixedLoader(self.examples, size, ratio=ratio, seed=seed, part=part, workers=workers)

    @property
    def heads(self) -> bool:
        """Whether the data and the foundation model have a head each."""
        return _options(self.config).heads

    @property
    def tests(self) -> list[AtomGraph]:
        """Structures on which forgetting is measured; with heads, marked for the foundation model's head."""
        return [with_head(graph, 1) if self.heads else graph for graph in self.replay.test]

    def statistics(self, stats: Statistics) -> Statistics:
        """The statistics of the data with the reference energies of the shifted model, for printing."""
        shift = energy_network(self.shifted.energy_model).atomic_energy.shift
        energies = [float(shift[self.shifted.species.index(z)]) for z in stats.species]
        return replace(stats, energies=tuple(energies), cohesion=0.0, source="shift of the model")

    def lines(self) -> list[str]:
        """Lines to print before training, on the foundation model, shifts, trained weights and replay."""
        finetune = _options(self.config)
        n_all = sum(p.numel() for p in self.foundation.parameters())
        n_free = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        details = {"last layers": f" ({finetune.n_layers})", "low rank": f" (rank {finetune.rank})"}
        strategy = f"{finetune.strategy}{details.get(finetune.strategy, '')}, {n_free:,} of {n_all:,}"
        if finetune.strategy == "low rank":
            strategy = f"updates of rank {finetune.rank}, {n_free:,} numbers for {n_all:,} weights"
        if finetune.decay_to_start:
            strategy += f", with decay {finetune.decay_to_start:g} to the start"
        lines = [
            f"foundation   {finetune.model}, {len(self.foundation.species)} elements",
            f"shifts       {self.references.line}",
            f"weights      {strategy}",
        ]
        if self.replay.train:
            heads = ", with a head of their own" if finetune.heads else ""
            lines.append(
                f"replay       {len(self.replay.train)} {self.replay.source}, "
                f"{finetune.replay_ratio:g} per structure of the data{heads}"
            )
        if self.replay.test:
            lines.append(f"forgetting   measured on {len(self.replay.test)} {self.replay.source}")
        return lines

    def facts(self) -> dict[str, Any]:
        """Foundation model, reference shifts and replay as JSON values, for the model file."""
        return {
            "foundation": _options(self.config).model,
            "references": self.references.method,
            "shifts_eV": {chemical_symbols[z]: shift for z, shift in self.references.shifts.items()},
            "warnings": list(self.references.warnings),
            "replay": self.replay.source if self.replay.train else None,
            "n_replay": len(self.replay.train),
            "n_replay_test": len(self.replay.test),
        }


def start_finetuning(
    config: TrainConfig,
    foundation: ForceField,
    graphs: Sequence[AtomGraph],
    stats: Statistics,
    data: str,
    processes: Processes,
    *,
    resuming: bool,
) -> Start:
    """Prepare a fine-tuning: shift references, write replayed structures, choose the weights to train.

    Args:
        config: as `load_foundation` returns it.
        foundation: the foundation model.
        graphs: training structures of the data.
        stats: statistics of these graphs.
        data: hash of the data.
        processes: processes that train together; the first writes the replayed structures, and all read them.
        resuming: whether replayed structures in the folder are those of the run to be resumed.

    Raises:
        ValueError: the data have elements that the foundation model lacks; or as `reference_shifts`,
            `write_replay` and `trained_names`.
    """
    finetune = _options(config)
    if missing := [chemical_symbols[z] for z in stats.species if z not in foundation.species]:
        known = ", ".join(chemical_symbols[z] for z in foundation.species)
        raise ValueError(
            f"{config.data.train}: has {', '.join(missing)}, which the foundation model {finetune.model} "
            f"lacks; it has {known}"
        )
    references = reference_shifts(finetune.references, foundation, graphs, stats)
    shifted = copy.deepcopy(foundation)
    atomic_energy = energy_network(shifted.energy_model).atomic_energy
    add_shifts(atomic_energy, shifted.species, references.shifts)
    elements = stats.species if finetune.replay_elements == "data" else foundation.species
    teacher = foundation if finetune.heads else shifted
    folder = Path(config.output)
    weights = file_hash(str(foundation_file(finetune.model)))
    labels = f"{weights} {config.dtype}" + ("" if finetune.heads else f" {finetune.references} {data}")
    with processes.synchronized():
        if processes.first:
            write_replay(finetune, teacher, elements, folder, config.seed, labels=labels, keep=resuming)
    replayed = read_replay(finetune, teacher, folder)
    digest = hashlib.sha256(f"{data} {weights}".encode())
    for graph in replayed.train:
        digest.update(graph_content(graph))
    energy_model = copy.deepcopy(shifted.energy_model)
    if finetune.heads:
        energy_model = Heads(foundation.energy_model, 2)
        first = energy_network(energy_model).atomic_energy.heads[0]  # pyright: ignore
        add_shifts(first, shifted.species, references.shifts)  # pyright: ignore[reportArgumentType]
    model = ForceField(apply_strategy(energy_model, finetune, config.seed))
    examples = graphs
    if replayed.train:
        examples = MixedExamples(graphs, replayed.train, heads=finetune.heads)
    return Start(config, foundation, shifted, model, references, examples, replayed, digest.hexdigest()[:16])


class BestFinetuned(BestModel):
    """Callback that saves the best model of a fine-tuning in its original class, one file for each head."""

    def __init__(self, path: Path, criterion: str, config: dict[str, Any], facts: Mapping[str, Any]) -> None:
        super().__init__(path, criterion, config)
        self.facts = facts

    def write(self, model: nn.Module, extra: Mapping[str, Any]) -> None:
        """Write the model with its updates of weights added; with heads, one file for each."""
        assert isinstance(model, ForceField)
        extra = dict(extra) | {"finetuning": dict(self.facts)}
        save(ForceField(merge_updates(model.energy_model)), self.path, extra=extra)
        if self.config["finetune"]["heads"]:
            second = ForceField(merge_updates(model.energy_model, 1))
            save(second, self.path.with_name(FOUNDATION_LEVEL), extra=extra)
