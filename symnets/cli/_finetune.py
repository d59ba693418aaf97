"""`symnets finetune`: train a foundation model further on labelled structures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from ase import Atoms
from rich.console import Console
from tyro.conf import Positional

from symnets.cli._label_options import LabelOptions
from symnets.config import Seed, at_least, between, more_than, read_config
from symnets.data import find_data_files, is_isolated_atom, read_structures
from symnets.files import expanded
from symnets.potentials import (
    DataConfig,
    FinetuneConfig,
    LossConfig,
    OptimizerConfig,
    TrainConfig,
    fit_epochs,
    train,
)
from symnets.training import INTERRUPTED, joined_processes


@dataclass(frozen=True)
class Finetune:
    """Train a foundation model further on structures of your own.

    A tenth of the structures, at most 50, is set aside for validation. First, the energies of single atoms
    are fitted to your data. The folder --output then contains model.safetensors, an ordinary model;
    finetune.html with errors before and after training and parity plots, on the validation structures and on
    structures labelled by the foundation model, which show what is forgotten; and the files of `symnets
    train`, so that --resume continues. Its config.yaml has all options of the training.

    Example:
        symnets finetune nequix-oam-1 my_frames.xyz --output runs/ft --minutes 10 --replay generated
    """

    model: Annotated[Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Foundation model: a name that `symnets models` lists, a model file, or an .nqx file."""
    data: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="DATA")]
    """Labelled structures: files that ASE reads, folders or globs."""
    output: str = "runs/finetuned"
    """Folder for the model, the report, the checkpoint and logs."""
    minutes: Annotated[float, more_than(0)] = 10.0
    """Time of the training in minutes, from which the number of epochs is chosen."""
    epochs: Annotated[int | None, at_least(1)] = None
    """Number of passes through the structures, in place of --minutes."""
    strategy: Literal["all", "last layers", "readout", "low rank"] = "all"
    """Weights that are trained. all; last layers: those of the last layers and the readout; readout: those
    of the readout; low rank: an update of low rank of each matrix."""
    n_layers: Annotated[int, at_least(1)] = 1
    """Number of last layers that the strategy `last layers` trains."""
    rank: Annotated[int, at_least(1)] = 8
    """Rank of the updates, for the strategy `low rank`."""
    decay_to_start: Annotated[float, at_least(0)] = 0.0
    """Weight decay towards the weights of the foundation model."""
    references: Literal["residuals", "isolated atoms", "keep"] = "residuals"
    """Reference energies of elements. residuals: those of the foundation model, shifted by a least-squares
    fit to its errors; isolated atoms: those in the data; keep: those of the foundation model."""
    replay: str | None = None
    """Also train on further structures, with labels that the foundation model computes: `generated`, or a
    file of structures."""
    replay_ratio: Annotated[float, at_least(0)] = 1.0
    """Replayed structures for each structure of the data."""
    n_replay: Annotated[int, at_least(1)] = 200
    """Number of replayed structures to train on."""
    n_replay_test: Annotated[int, at_least(0)] = 50
    """Number of structures, labelled by the foundation model and not trained on, that measure what is
    forgotten; also without --replay."""
    replay_elements: Literal["model", "data"] = "model"
    """Elements of generated structures: all of the model, or those of the data."""
    heads: bool = False
    """Train a readout for the data beside that of the foundation model, and write two models; needs
    --replay."""
    learning_rate: Annotated[float | None, more_than(0)] = None
    """Largest learning rate, reached after 20 steps; it decays along a cosine to a hundredth. By default
    3e-4, with --replay 1e-4, since the gradient of replayed structures differs from step to step."""
    batch_size: Annotated[int, at_least(1)] = 2
    """Structures in a batch."""
    energy_weight: Annotated[float, at_least(0)] = 10.0
    """Weight of the squared error of the energy per atom, eV."""
    forces_weight: Annotated[float, at_least(0)] = 1.0
    """Weight of the squared error of a force component, eV/Å."""
    stress_weight: Annotated[float | None, at_least(0)] = None
    """Weight of the squared error of a stress component, eV/Å³; by default 100 if the data have a stress,
    else 0."""
    average: Annotated[float | None, between(0, 1)] = 0.99
    """Decay of the running average of weights in each step; None for no average."""
    validation: tuple[str, ...] = ()
    """Structures to validate on; by default some of DATA are set aside."""
    n_train: Annotated[int | None, at_least(1)] = None
    """Structures to train on, chosen at random; by default all but those set aside."""
    n_validation: Annotated[int | None, at_least(1)] = None
    """Structures to validate on; by default a tenth of DATA, at most 50."""
    isolated_atoms: str | None = None
    """File of isolated atoms; by default those of DATA with config_type=IsolatedAtom."""
    labels: Annotated[LabelOptions, tyro.conf.arg(name="")] = field(default_factory=LabelOptions)
    seed: Seed = 0
    """Seed of the split, the order of the data and the generated structures."""
    dtype: Literal["float32", "float64"] = "float32"
    """Floating-point type of the training."""
    device: str = "cpu"
    """Device of the training: cpu, cuda, cuda:1, ...; auto uses a GPU if there is one."""
    threads: Annotated[int | None, at_least(1)] = None
    """CPU threads; by default torch's choice."""
    resume: bool = False
    """Continue the training in --output, with the options it was started with."""

    def run(self) -> int:
        """Fine-tune with progress on standard error; returns 0 when done, 130 if interrupted."""
        console, folder, config = Console(stderr=True), expanded(self.output), None
        if self.resume and (folder / "checkpoint.safetensors").exists():
            config = read_config(TrainConfig, folder / "config.yaml")
        with joined_processes(self.device if config is None else config.device) as processes:
            if config is None:
                with processes.synchronized():
                    config = self._config()
                if self.epochs is None:
                    if processes.first:
                        console.print("timing a few steps ...")
                    config = fit_epochs(config, self.minutes, resume=self.resume)
            state = train(config, resume=self.resume, summary=True)
        if processes.first:
            stopped = f"stopped at step {state.step}: {state.history.reason}; see {folder}"
            console.print(stopped, soft_wrap=True)
        return 130 if state.history.reason == INTERRUPTED else 0

    def _config(self) -> TrainConfig:
        """Configuration of the training, with the defaults that depend on the data."""
        structures = self._structures(self.data)
        n_validation = self.n_validation or min(max(len(structures) // 10, 1), 50)
        if self.validation and self.n_validation is None:
            n_validation = len(self._structures(self.validation))
        stress = self.stress_weight
        if stress is None:
            stress = 100.0 if any("stress" in (a.calc.results if a.calc else ()) for a in structures) else 0.0
        warmup = 20
        if self.epochs is not None:
            n_train = self.n_train or max(len(structures) - n_validation, 1)
            warmup = min(20, self.epochs * n_train // self.batch_size // 20)
        finetune = FinetuneConfig(
            model=self.model,
            references=self.references,
            strategy=self.strategy,
            n_layers=self.n_layers,
            rank=self.rank,
            decay_to_start=self.decay_to_start,
            heads=self.heads,
            replay=self.replay,
            replay_ratio=self.replay_ratio,
            n_replay=self.n_replay,
            n_replay_test=self.n_replay_test,
            replay_elements=self.replay_elements,
        )
        return TrainConfig(
            data=DataConfig(
                train=list(self.data),
                validation=list(self.validation) or None,
                n_train=self.n_train,
                n_validation=n_validation,
                isolated_atoms=self.isolated_atoms,
                **asdict(self.labels),
            ),
            output=self.output,
            finetune=finetune,
            loss=LossConfig(self.energy_weight, self.forces_weight, stress),
            optimizer=OptimizerConfig(
                learning_rate=self.learning_rate or (3e-4 if self.replay is None else 1e-4),
                batch_size=self.batch_size,
                epochs=self.epochs or 1,
                warmup=warmup,
                average=self.average,
                clip_norm=10.0,
            ),
            seed=self.seed,
            dtype=self.dtype,
            device=self.device,
            threads=self.threads,
        )

    def _structures(self, paths: Sequence[str]) -> list[Atoms]:
        """Structures of the files, without isolated atoms."""
        return [
            atoms
            for file in find_data_files(paths)
            for atoms in read_structures(Path(file), **asdict(self.labels))
            if not is_isolated_atom(atoms)
        ]
