"""`symnets md`: molecular dynamics with a trained model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from symnets.data import find_structure
from symnets.device import usable_device
from symnets.simulate import Ensemble, MDRun, SymnetsCalculator, n_steps, run_md


@dataclass(frozen=True)
class Md:
    """Molecular dynamics: writes a trajectory (extended XYZ) and a log (CSV).

    Ctrl-C ends the run after the step at hand; what was done is kept, and the exit status is 130.

    Example:
        symnets md runs/ethanol/model.safetensors CH3CH2OH --duration 10 --temperature 300
    """

    model: Positional[Path]
    """A model file, as `symnets train` writes it."""
    structure: Positional[str]
    """A file that ASE reads (its last structure), or a molecule's name in ase.build.molecule."""
    ensemble: Ensemble = "nve"
    """nve (velocity Verlet), nvt (Langevin), nvt-nose-hoover (chain) or npt (isotropic
    Martyna-Tobias-Klein)."""
    steps: int | None = None
    """Number of time steps; or give --duration."""
    duration: float | None = None
    """Length of the run in ps; or give --steps."""
    timestep: float = 0.5
    """fs. 0.5 suits molecules with hydrogen."""
    temperature: float = 300.0
    """K; in nve of the initial momenta."""
    pressure: float = 0.0
    """GPa, for npt."""
    thermostat_time: float = 100.0
    """fs over which the temperature is held."""
    barostat_time: float = 1000.0
    """fs over which the pressure is held."""
    seed: int = 0
    """Of the initial momenta and of Langevin's noise."""
    keep_momenta: bool = False
    """Start from the momenta in the structure file, to continue a run."""
    trajectory: Path = Path("md.xyz")
    """Where frames go: positions, momenta, energy and forces."""
    log: Path = Path("md.csv")
    """Where the table of energies and temperature goes."""
    save_every: int = 20
    """Steps between frames."""
    log_every: int = 10
    """Steps between rows of the log."""
    overwrite: bool = False
    """Replace the files of an earlier run."""
    device: str = "cpu"
    """Where the model runs: cpu, cuda, cuda:1, ...; auto is a GPU if there is one."""
    dtype: Literal["float32", "float64"] | None = None
    """Arithmetic of the model; by default the one it was trained in."""
    skin: float = 0.5
    """Å atoms may share before neighbours are sought again; changes speed, not results."""

    def run(self) -> int:
        """Run, and print what came of it; 130 after Ctrl-C."""
        device = usable_device(self.device)
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
        units |= {"pressure": "GPa", "volume": "Å³"}
        for name, unit in units.items():
            if name in result.log:
                column = result.log[name]
                label = f"{name.replace('_', ' ')} / {unit}"
                table.add_row(label, f"{column.mean():.4f}", f"{column.std(ddof=0):.4f}")
        console.print(table)
        if self.ensemble == "nve":
            console.print(str(result.drift), soft_wrap=True)
        console.print(f"trajectory {self.trajectory}, log {self.log}")
