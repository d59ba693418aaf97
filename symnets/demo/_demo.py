"""`symnets demo`: a potential from labels to dynamics, stability of a digit classifier, jamming."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from ase import Atoms
from ase.build import molecule
from rich.console import Console
from rich.progress import track

from symnets.config import Seed
from symnets.data import Loader, build_graphs, sample_trajectory, write_structures
from symnets.demo._digits import digit_stability
from symnets.demo._page import demo_page
from symnets.experiments import jamming_sharpness
from symnets.files import locked
from symnets.models import ForceField, load
from symnets.observables import errors, predictions
from symnets.potentials import DataConfig, LossConfig, ModelConfig, OptimizerConfig, TrainConfig, train
from symnets.report import Table, error_table, terminal_table
from symnets.simulate import MDRun, SymnetsCalculator, compile, run_md
from symnets.sweeps import WriteUp, findings_table, sweep, write_up
from symnets.training import INTERRUPTED

TIMESTEP = 0.5
"""Time step in fs of the dynamics, both for labels and with the model."""


@dataclass(frozen=True)
class Demo:
    """Show the three subjects of symnets in about six minutes, without downloads.

    1. Potentials: label frames of ethanol with GFN2-xTB, train NequIP on them, test it on a second
       trajectory, compile it and run molecular dynamics with it.
    2. Images and deformations: train a classifier of handwritten digits, with and without deformed
       training images, and measure its stability to deformations.
    3. Loss landscape: find the jamming transition, at which nets just fail to fit random labels.

    The results are written to report.html.

    Example:
        symnets demo --output demo
    """

    output: Path = Path("demo")
    """Folder for the report, frames, model and logs."""
    minutes: float = 3.0
    """Duration of the training in minutes; the learning-rate schedule is fitted to it."""
    frames: int = 400
    """Number of training frames. An eighth as many are added for validation, a quarter for the test."""
    picoseconds: float = 10.0
    """Length in ps of the trajectory at constant energy, with the compiled potential."""
    jamming_seeds: int = 4
    """Number of nets of each size in the jamming study; 0 omits the study."""
    seed: Seed = 0
    """Seed of the frames, the initial weights and the momenta."""
    overwrite: bool = False
    """Replace the results of an earlier demo in the folder."""

    def run(self) -> None:
        """Run all stages, print a line for each, and write the report."""
        if self.minutes <= 0 or self.frames < 100 or self.picoseconds <= 0 or self.jamming_seeds < 0:
            raise ValueError(
                "demo: expected minutes > 0, at least 100 frames, picoseconds > 0 and jamming_seeds >= 0, "
                f"got {self.minutes}, {self.frames}, {self.picoseconds}, {self.jamming_seeds}"
            )
        with locked(self.output):
            self._prepare_folder()
            self._run_stages()

    def _run_stages(self) -> None:
        stages = Stages(Console())
        with stages("label") as note:
            training_frames, test_frames = self._label()
            note(f"{len(training_frames)} training and {len(test_frames)} test frames, GFN2-xTB at 500 K")
        with stages("train") as note:
            history, reason = self._train()
            if reason == INTERRUPTED:
                raise KeyboardInterrupt
            note(f"NequIP, {int(history['step'].iloc[-1]):,} steps")
        with stages("test") as note:
            model = load(self._model, ForceField)
            predicted = predictions(model, Loader(build_graphs(test_frames, model.cutoff), 25))
            note(f"{len(test_frames)} frames of a second trajectory")
        with stages("simulate") as note:
            dynamics = self._simulate(model, test_frames[0])
            note(f"{self.picoseconds:g} ps at constant energy, {dynamics.n_steps:,} steps, compiled")
        with stages("deform") as note:
            digits = digit_stability(seed=self.seed)
            note(f"relative stability R of a digit classifier: {digits}")
        jamming = None
        if self.jamming_seeds:
            with stages("jam") as note:
                jamming = self._jam()
                note(f"{len(jamming.table)} nets of different size trained on random labels")
        page = demo_page(
            self.output / "report.html",
            model=model,
            predictions=predicted,
            history=history,
            dynamics=dynamics,
            stages=stages.rows,
            digits=digits,
            jamming=jamming,
        )
        console = stages.console
        console.print()
        table = Table(("", "MAE", "RMSE", "unit", "count"), error_table(errors(predicted)))
        console.print(terminal_table(table, f"ethanol: {len(test_frames):,} test frames"))
        console.print(str(dynamics.drift), soft_wrap=True)
        if jamming is not None:
            console.print(terminal_table(findings_table(jamming.findings)))
        console.print(f"{stages.total:.0f} s in total; open {page}", soft_wrap=True)

    def _jam(self) -> WriteUp:
        """Run the experiment `jamming_sharpness` on small nets, which takes about a minute."""
        configs = [c for c in jamming_sharpness.PRESETS["minute"] if c.seed < self.jamming_seeds]
        sweep(jamming_sharpness, configs, self.output / "jamming", progress=sys.stderr.isatty())
        return write_up(jamming_sharpness, self.output / "jamming")

    @property
    def _model(self) -> Path:
        return self.output / "training" / "model.safetensors"

    def _prepare_folder(self) -> None:
        """Remove the results of an earlier demo; raise an error if there are any and `overwrite` is False."""
        for part in ("training", "jamming"):
            if (self.output / part).exists():
                if not self.overwrite:
                    raise ValueError(
                        f"{self.output} already contains a demo; choose another --output, or pass --overwrite"
                    )
                shutil.rmtree(self.output / part)

    def _label(self) -> tuple[list[Atoms], list[Atoms]]:
        """Frames for training and validation, and test frames of a second trajectory; writes both."""
        ethanol = molecule("CH3CH2OH")
        sizes = {"train": self.frames + self.frames // 8, "test": self.frames // 4}
        sets = []
        for number, (name, n) in enumerate(sizes.items()):
            frames = sample_trajectory(
                ethanol, frames=n, every=20, timestep=TIMESTEP, seed=2 * self.seed + number
            )
            sets.append(list(track(frames, name, total=n, console=Console(stderr=True), transient=True)))
            write_structures(self.output / f"{name}.xyz", sets[-1])
        return sets[0], sets[1]

    def _train(self) -> tuple[pd.DataFrame, str]:
        """Train and save the model; returns the history and the reason why the training ended."""
        begin = time.perf_counter()
        config = TrainConfig(
            data=DataConfig(str(self.output / "train.xyz"), n_validation=self.frames // 8),
            output=str(self._model.parent),
            model=ModelConfig("NequIP", cutoff=4.0, channels=32, layers=3, parity=False),
            loss=LossConfig(energy=10.0, forces=1.0),
            seed=self.seed,
            threads=1,  # a second thread does not speed up molecules this small
        )
        # 10 % of the time is kept for validation and a slower machine, so that the schedule completes.
        epoch = 1.1 * seconds_per_step(config) * self.frames / config.optimizer.batch_size
        left = 60 * self.minutes - (time.perf_counter() - begin)
        optimizer = OptimizerConfig(epochs=max(1, int(left / epoch)))
        state = train(replace(config, optimizer=optimizer, max_minutes=max(left, 0.1) / 60))
        return state.history.table(), state.history.reason

    def _simulate(self, model: ForceField, start: Atoms) -> MDRun:
        return run_md(
            start,
            SymnetsCalculator(compile(model)),
            steps=round(1000 * self.picoseconds / TIMESTEP),
            timestep=TIMESTEP,
            temperature=300.0,
            seed=self.seed,
            trajectory=self.output / "md.xyz",
            log=self.output / "md.csv",
            log_every=4,
            overwrite=True,
        )


def seconds_per_step(config: TrainConfig) -> float:
    """Duration of a training step in seconds on this machine: the mean of steps 31 to 40 of a short training.

    Earlier steps are slower: TorchScript compiles in the first step, and again after the first validation.
    """
    n = 20 * config.optimizer.batch_size
    with tempfile.TemporaryDirectory() as folder:
        short = replace(
            config,
            data=replace(config.data, n_train=n, n_validation=1),
            optimizer=replace(config.optimizer, epochs=2),
            validate_every=10,
            output=f"{folder}/short",
        )
        history = train(short, progress=False).history
        if history.reason == INTERRUPTED:
            raise KeyboardInterrupt
        *_, before, after = history.values("seconds")
    return (after - before) / 10


class Stages:
    """Times the stages of the demo, and prints a line after each."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.rows: list[tuple[str, str, float]] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time the stage `name`; yields a function that takes one line on its result."""
        begin, notes = time.perf_counter(), []
        yield notes.append
        if notes:
            self.rows.append((name, notes[-1], time.perf_counter() - begin))
            line = f"{name:<9} {self.rows[-1][2]:6.1f} s   {notes[-1]}"
            self.console.print(line, highlight=False, soft_wrap=True)

    @property
    def total(self) -> float:
        """Duration of all stages in seconds."""
        return sum(seconds for _, _, seconds in self.rows)
