"""From a published foundation model to your own compiled potential that runs molecular dynamics.

    python examples/foundation_to_yours.py                            # under ten minutes on two cores
    python examples/foundation_to_yours.py --data my_frames.xyz       # your labelled structures
    python examples/foundation_to_yours.py --minutes 0.5 --steps 20   # shorter

1. Structures are labelled at another level of theory: your own, or 40 structures of the alloy Cu3Au labelled
   with EMT.
2. `nequix-oam-1` is trained on them, together with generated structures that it labels itself, so that it
   does not forget. The report has the errors before and after on both kinds of structures.
3. The model is compiled.
4. It runs molecular dynamics at 300 K.

Weights are read from the folder `nequix` of SYMNETS_DATA or from the user's cache, else downloaded (2.8 MB).
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.data import read_structures, write_structures
from symnets.models import ForceField, load, save
from symnets.potentials import (
    DataConfig,
    FinetuneConfig,
    LossConfig,
    OptimizerConfig,
    TrainConfig,
    fit_epochs,
    train,
)
from symnets.simulate import SymnetsCalculator, compile, run_md


@dataclass(frozen=True)
class Options:
    """From a published foundation model to your own compiled potential that runs molecular dynamics."""

    data: Path | None = None
    """Labelled structures; by default Cu3Au labelled with EMT, which the script generates."""
    foundation: str = "nequix-oam-1"
    """Foundation model: a name that `symnets models` lists, or a file."""
    output: Path = Path("runs/foundation_to_yours")
    """Folder for all files."""
    minutes: float = 6.0
    """Training time in minutes."""
    steps: int = 200
    """Steps of molecular dynamics, 2 fs each."""
    n_replay: int = 100
    """Generated structures that are trained on as well."""
    threads: int | None = None
    """CPU threads; by default torch's choice."""


def alloy(n: int = 40) -> list[Atoms]:
    """Strained and rattled crystals of Cu3Au with energies, forces and stress of EMT."""
    frames, random = [], np.random.default_rng(0)
    for _ in range(n):
        atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
        atoms.symbols[0] = "Au"
        strain = 0.02 * random.standard_normal((3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms = atoms.repeat((2, 1, 1))
        atoms.positions += random.uniform(0.02, 0.15) * random.standard_normal(atoms.positions.shape)
        atoms.calc = EMT()
        results = {name: atoms.calc.get_property(name, atoms) for name in ("energy", "forces", "stress")}
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames


def main(options: Options) -> None:
    """Fine-tune, compile, simulate."""
    output, data = options.output, options.data
    if data is None:
        data = output / "frames.xyz"
        write_structures(data, alloy())
    frames = read_structures(data)
    config = TrainConfig(
        data=DataConfig(train=str(data), n_validation=max(len(frames) // 10, 1)),
        output=str(output / "training"),
        finetune=FinetuneConfig(options.foundation, replay="generated", n_replay=options.n_replay),
        loss=LossConfig(energy=10.0, forces=1.0, stress=100.0 if "stress" in frames[0].calc.results else 0.0),
        optimizer=OptimizerConfig(learning_rate=1e-4, batch_size=4, warmup=10, average=0.99, clip_norm=10.0),
        threads=options.threads,
    )
    train(fit_epochs(config, options.minutes), summary=True)
    print(f"report: {output / 'training' / 'finetune.html'}")

    compiled = compile(load(output / "training" / "model.safetensors", ForceField))
    save(compiled, output / "yours.safetensors")
    print(f"compiled: {output / 'yours.safetensors'}, tables of {compiled.n_knots} knots")

    start = frames[0].repeat((2, 3, 3))
    files = {"trajectory": output / "md.xyz", "log": output / "md.csv", "overwrite": True}
    begin = time.perf_counter()
    run = run_md(
        start,
        SymnetsCalculator(output / "yours.safetensors"),
        steps=options.steps,
        timestep=2.0,
        ensemble="nvt",
        temperature=300,
        **files,
    )
    seconds = time.perf_counter() - begin
    mean = run.log.tail(10)["temperature"].mean()
    print(f"dynamics: {run.n_steps} steps of {len(start)} atoms in {seconds:.1f} s, at the end {mean:.0f} K")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
