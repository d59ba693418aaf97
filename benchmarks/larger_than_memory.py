"""How much memory and time does training take on 100,000 structures that are read on demand?

    OMP_NUM_THREADS=1 python benchmarks/larger_than_memory.py
    OMP_NUM_THREADS=1 python benchmarks/larger_than_memory.py --frames 2000   # a short try

Frames of 20 atoms of copper, rattled in a strained cell, with energies and forces of springs to their sites,
are written into a database of ASE (SQLite, one transaction) and an extended XYZ file. Each case is a process
of its own that opens the file, reads it once for the statistics, goes through all batches of an epoch without
a model (`batches`), then trains a small invariant network for one epoch (`training`): batches of 50, cutoff
4 Å (18 neighbours), float32, one thread. Workers share the cores with the training.

Memory is sampled twenty times in each pass: it should not grow with the samples seen, and stay below 2 GB.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import torch
import tyro
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from machine import machine

HERE = Path(__file__).parent
CUTOFF, SPRING = 4.0, 5.0


@dataclass
class Benchmark:
    """Memory and speed of data on demand."""

    frames: int = 100_000
    workers: tuple[int, ...] = (0, 1, 2)
    folder: Path | None = None
    """Where the files are made, about 400 MB; a temporary folder by default."""
    output: Path = HERE / "results" / "larger_than_memory.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Make the files, measure all cases; print and save after each."""
        document = {
            "question": __doc__,
            "machine": machine() | {"threads": torch.get_num_threads()},
            "versions": {"torch": torch.__version__, "ase": ase.__version__},
            "frames": self.frames,
            "atoms": 20,
            "rows": self.rows,
        }
        with tempfile.TemporaryDirectory() as temporary:
            folder = self.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            for name, write in (("frames.db", write_database), ("frames.xyz", write_text)):
                clock = time.perf_counter()
                if not (folder / name).exists():
                    write(folder / name, structures(self.frames))
                size = (folder / name).stat().st_size / 1e6
                print(f"{name}: {size:.0f} MB, made in {time.perf_counter() - clock:.0f} s", flush=True)
                cases = [(False, workers) for workers in self.workers] + [(True, 0)] * (name == "frames.xyz")
                for in_memory, workers in cases:
                    row = {"file": name, "file_mb": size, "in_memory": in_memory, "workers": workers}
                    self.rows.append(row | measured(folder / name, in_memory, workers, self.frames))
                    print(json.dumps({k: v for k, v in self.rows[-1].items() if k != "memory"}), flush=True)
                    self.output.parent.mkdir(parents=True, exist_ok=True)
                    self.output.write_text(json.dumps(document, indent=1) + "\n")


def structures(n: int) -> Iterator[Atoms]:
    """Frames of 20 atoms with the energy and forces of springs of 5 eV/Å² to the sites of a crystal."""
    rng = np.random.default_rng(0)
    cell = bulk("Cu", cubic=True) * (5, 1, 1)
    for _ in range(n):
        atoms = cell.copy()
        atoms.set_cell(atoms.cell.array * (1 + rng.uniform(-0.02, 0.02)), scale_atoms=True)
        moves = rng.normal(scale=0.1, size=(len(atoms), 3))
        atoms.positions += moves
        energy, forces = SPRING / 2 * (moves**2).sum() - 3.5 * len(atoms), -SPRING * moves
        atoms.calc = SinglePointCalculator(atoms, energy=float(energy), forces=forces)
        yield atoms


def write_database(path: Path, frames: Iterator[Atoms]) -> None:
    """Write frames in one transaction."""
    with ase.db.connect(path) as database:
        for atoms in frames:
            database.write(atoms)


def write_text(path: Path, frames: Iterator[Atoms]) -> None:
    """Write frames as extended XYZ."""
    with path.open("w") as file:
        for atoms in frames:
            ase.io.write(file, atoms, format="extxyz")


def measured(path: Path, in_memory: bool, workers: int, frames: int) -> dict:
    """Rates and memory of one case, in a process of its own."""
    arguments = [str(path), str(int(in_memory)), str(workers), str(frames), str(CUTOFF)]
    command = [sys.executable, str(HERE / "workers" / "on_demand.py"), *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
