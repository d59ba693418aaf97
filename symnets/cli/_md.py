"""`symnets md`: molecular dynamics with a trained potential."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from symnets.config import Seed
from symnets.data import find_structure
from symnets.device import usable_device
from symnets.simulate import MDRun, SymnetsCalculator, ThermodynamicEnsemble, n_steps, run_md
from symnets.threads import set_threads


@dataclass(frozen=True)
class Md:
    """Run molecular dynamics with a potential, and write a trajectory and a log (CSV).

    After Ctrl-C the current time step is completed, the files so far are kept, and the exit status is 130.

    Example:
        symnets md runs/ethanol/model.safetensors CH3CH2OH --duration 10 --temperature 300
    """

    model: Positional[Path]
    """Model file written by `symnets train`, or the name of a published model in `symnets models`."""
    structure: Positional[str]
    """File that ASE reads (its last structure is taken), or the name of a molecule in ase.build.molecule."""
    ensemble: ThermodynamicEnsemble = "nve"
    """nve (velocity Verlet), nvt (Langevin), nvt-nose-hoover (Nosé-Hoover chain) or npt (isotropic
    Martyna-Tobias-Klein)."""
    steps: int | None = None
    """Number of time steps; pass either this or --duration."""
    duration: float | None = None
    """Length of the run in ps; pass either this or --steps."""
    timestep: float = 0.5
    """Time step in fs; 0.5 suits molecules with hydrogen."""
    temperature: float = 300.0
    """Temperature in K; with nve, of the initial momenta only."""
    pressure: float = 0.0
    """Pressure in GPa, with npt."""
    thermostat_time: float = 100.0
    """Relaxation time of the thermostat in fs."""
    barostat_time: float = 1000.0
    """Relaxation time of the barostat in fs."""
    seed: Seed = 0
    """Seed of the initial momenta and of the Langevin noise."""
    keep_momenta: bool = False
    """Start with the momenta in the structure file, to continue an earlier run."""
    trajectory: Path = Path("md.xyz")
    """File for the frames: positions, momenta, energy, forces, the dipole and other tensors of the structure
    if the model has them, and what the structure carries. Its name determines the format (.xyz, .xyz.gz,
    .traj, .db, ...)."""
    log: Path = Path("md.csv")
    """File for the table of energies and temperature, and of the tensors of the structure."""
    save_every: int = 20
    """Steps between frames."""
    log_every: int = 10
    """Steps between rows of the log."""
    overwrite: bool = False
    """Replace existing files."""
    device: str = "cpu"
    """Device of the model: cpu, cuda, cuda:1, ...; auto uses a GPU if there is one."""
    threads: int | None = None
    """CPU threads; by default torch's choice. In a queue, the number of cores of the job."""
    dtype: Literal["float32", "float64"] | None = None
    """Floating-point type of the model; by default the type in which it was saved."""
    skin: float = 0.5
    """Extra radius of the neighbour list in Å; it changes speed, not results."""

    def run(self) -> int:
        """Run the dynamics and print averages; the exit status is 130 after Ctrl-C."""
        device = usable_device(self.device)
        if self.threads is not None:
            set_threads(self.threads)
        steps = n_steps(steps=self.steps, duration=self.duration, timestep=self.timestep)
        atoms = find_structure(self.structure)
        dtype = None if self.dtype is None else getattr(torch, self.dtype)
        calculator = SymnetsCalculator(self.model, device=device, dtype=dtype, skin=self.skin)
        result = run_md(
            atoms,
            calculator,
            steps=steps,
            ensemble=self.ensemble,
            timestep=self.timestep,
            temperature=self.temperature,
            pressure=self.pressure,
            thermostat_time=self.thermostat_time,
            barostat_time=self.barostat_time,
            seed=self.seed,
            keep_momenta=self.keep_momenta,
            trajectory=self.trajectory,
            log=self.log,
            save_every=self.save_every,
            log_every=self.log_every,
            overwrite=self.overwrite,
            progress=True,
        )
        self._print(result, steps)
        return 130 if result.interrupted else 0

    def _print(self, result: MDRun, steps: int) -> None:
        console = Console()
        if result.interrupted:
            console.print(f"[yellow]stopped by Ctrl-C after {result.n_steps} of {steps} steps[/yellow]")
        table = Table("", "mean", "std", title=f"{result.n_steps} steps of {self.timestep:g} fs")
        units = {"potential_energy": "eV", "total_energy": "eV", "temperature": "K"}
        units |= {"pressure": "GPa", "volume": "Å³"} | {f"dipole_{axis}": "e·Å" for axis in "xyz"}
        for name, unit in units.items():
            if name in result.log:
                column = result.log[name]
                label = f"{name.replace('_', ' ')} / {unit}"
                table.add_row(label, f"{column.mean():.4f}", f"{column.std(ddof=0):.4f}")
        console.print(table)
        if self.ensemble == "nve":
            console.print(str(result.drift), soft_wrap=True)
        console.print(f"trajectory {self.trajectory}, log {self.log}")
