"""`symnets demo`: a potential for ethanol, from labels to dynamics; studies of deformations and jamming."""

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

from symnets.cli.evaluate import predict, print_table
from symnets.cli.sweep import findings_table
from symnets.data import sample, write_structures
from symnets.experiments import jamming_sharpness
from symnets.experiments.deformed_digits import deformed_digits
from symnets.experiments.potential import train
from symnets.experiments.potential.config import (
    DataConfig,
    LossConfig,
    NequIPConfig,
    OptimizerConfig,
    TrainConfig,
)
from symnets.experiments.sweep import sweep
from symnets.experiments.write_up import WriteUp, write_up
from symnets.models import load
from symnets.observables import errors
from symnets.report import demo_page
from symnets.simulate import SymnetsCalculator, run_md
from symnets.simulate.md import MDRun
from symnets.training import INTERRUPTED

TIMESTEP = 0.5  # fs, of the labelling dynamics and of the model's


@dataclass(frozen=True)
class Demo:
    """Learn ethanol: label frames with GFN2-xTB, train NequIP on them, test it on frames it never saw,
    run molecular dynamics with it. Then let a small net read digits, and measure its relative stability
    under deformations of them; and let small nets memorise random points until they no longer can, their
    jamming transition. All of it goes to report.html. Nothing is downloaded.

    Example:
        symnets demo --output demo
    """

    output: Path = Path("demo")
    """Folder for the report, frames, model and logs."""
    minutes: float = 3.0
    """Time for training; the schedule of the learning rate is fitted to it."""
    frames: int = 400
    """Frames to train on; an eighth as many choose the best model, a quarter as many test it."""
    picoseconds: float = 1.0
    """Length of the trajectory at constant energy."""
    jamming_seeds: int = 4
    """Nets of each kind in the jamming study; 0 leaves the study out."""
    seed: int = 0
    """Of frames, initial weights and momenta."""
    overwrite: bool = False
    """Replace the demo that the folder holds."""

    def run(self) -> None:
        """All stages, a line each."""
        if self.minutes <= 0 or self.frames < 100 or self.picoseconds <= 0 or self.jamming_seeds < 0:
            raise ValueError(
                "demo: expected minutes > 0, at least 100 frames, picoseconds > 0 and jamming_seeds >= 0, "
                f"got {self.minutes}, {self.frames}, {self.picoseconds}, {self.jamming_seeds}"
            )
        self._claim()
        stages = Stages(Console())
        with stages("label") as note:
            seen, unseen = self._label()
            note(f"{len(seen)} frames to learn from and {len(unseen)} to test on, GFN2-xTB at 500 K")
        with stages("train") as note:
            history, reason = self._train()
            if reason == INTERRUPTED:
                raise KeyboardInterrupt
            note(f"NequIP, {int(history['step'].iloc[-1]):,} steps")
        with stages("test") as note:
            model = load(self._model)
            predicted = predict(model, unseen, 25, progress=False)
            found = errors(predicted)
            note(f"{len(unseen)} frames of a trajectory that training never saw")
        with stages("simulate") as note:
            dynamics = self._simulate(unseen[0])
            note(f"{self.picoseconds:g} ps at constant energy")
        with stages("deform") as note:
            digits = deformed_digits(seed=self.seed)
            note(f"relative stability of a net that reads digits (statistics of each batch): {digits}")
        jamming = None
        if self.jamming_seeds:
            with stages("jam") as note:
                jamming = self._jam()
                note(f"{len(jamming.table)} nets memorise random points, or fail to")
        page = demo_page(
            self.output / "report.html",
            model=model,
            predictions=predicted,
            history=history,
            dynamics=dynamics,
            stages=stages.rows,
            deformed=digits,
            jamming=jamming,
        )
        console = stages.console
        console.print()
        console.print(print_table(found, "ethanol, unseen frames"))
        console.print(str(dynamics.drift), soft_wrap=True)
        if jamming is not None:
            console.print(findings_table(jamming.findings))
        console.print(f"{stages.total:.0f} s in all; open {page}", soft_wrap=True)

    def _jam(self) -> WriteUp:
        """The jamming transition of small nets, in about a minute; figure and table are written too."""
        configs = [c for c in jamming_sharpness.PRESETS["minute"] if c.seed < self.jamming_seeds]
        sweep(jamming_sharpness, configs, self.output / "jamming", progress=sys.stderr.isatty())
        return write_up(jamming_sharpness, self.output / "jamming")

    @property
    def _model(self) -> Path:
        return self.output / "training" / "model.safetensors"

    def _claim(self) -> None:
        """Make room in the output folder."""
        for part in ("training", "jamming"):
            if (self.output / part).exists():
                if not self.overwrite:
                    raise ValueError(
                        f"{self.output} holds a demo; choose another --output, or pass --overwrite"
                    )
                shutil.rmtree(self.output / part)
        self.output.mkdir(parents=True, exist_ok=True)

    def _label(self) -> tuple[list[Atoms], list[Atoms]]:
        """Frames to learn from, and frames of another trajectory to test on; written as files too."""
        ethanol = molecule("CH3CH2OH")
        sets = {"train": self.frames + self.frames // 8, "test": self.frames // 4}
        made = []
        for number, (name, n) in enumerate(sets.items()):
            frames = sample(ethanol, frames=n, every=20, timestep=TIMESTEP, seed=2 * self.seed + number)
            shown = track(frames, name, total=n, console=Console(stderr=True), transient=True)
            made.append(list(shown))
            write_structures(self.output / f"{name}.xyz", made[-1])
        return made[0], made[1]

    def _train(self) -> tuple[pd.DataFrame, str]:
        """History of the training and why it ended; the model is in the output folder then."""
        begin = time.perf_counter()
        config = TrainConfig(
            data=DataConfig(str(self.output / "train.xyz"), n_validation=self.frames // 8),
            output=str(self._model.parent),
            model=NequIPConfig(cutoff=4.0, channels=32, layers=3, parity=False),
            loss=LossConfig(energy=10.0, forces=1.0),
            seed=self.seed,
            threads=1,  # molecules this small leave nothing for a second thread to do
        )
        # A tenth for validation and for a machine that slows down; the schedule should reach its end.
        epoch = 1.1 * seconds_per_step(config) * self.frames / config.optimizer.batch_size
        left = 60 * self.minutes - (time.perf_counter() - begin)
        optimizer = OptimizerConfig(epochs=max(1, int(left / epoch)))
        state = train(replace(config, optimizer=optimizer, max_minutes=max(left, 0.1) / 60))
        return state.history.table(), state.history.reason

    def _simulate(self, start: Atoms) -> MDRun:
        return run_md(
            start,
            SymnetsCalculator(self._model),
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
    """Time of a training step on this machine as it is now: the last ten of forty steps.

    Earlier ones would not tell: TorchScript compiles during the first, and anew after the first validation.
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
    """The lines of a demo: what was done, and how long it took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.rows: list[tuple[str, str, float]] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[Callable[[str], None]]:
        """Times a stage; yields a function that takes what there is to say of it."""
        begin, said = time.perf_counter(), []
        yield said.append
        if said:
            self.rows.append((name, said[-1], time.perf_counter() - begin))
            line = f"{name:<9} {self.rows[-1][2]:6.1f} s   {said[-1]}"
            self.console.print(line, highlight=False, soft_wrap=True)

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(seconds for _, _, seconds in self.rows)
