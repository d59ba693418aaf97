"""`symnets relax`: relax a structure to the nearest minimum of a potential's energy."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from symnets.data import find_structure
from symnets.device import usable_device
from symnets.simulate import OptimizerName, Relaxation, SymnetsCalculator, relax
from symnets.threads import set_threads


@dataclass(frozen=True)
class Relax:
    """Relax a structure, and with --cell its cell, to a local minimum of a potential's energy.

    The exit status is 1 if forces exceed --fmax after the last step, 2 if the structure could not be written
    to --output and is in another file, which a warning names, and 130 after Ctrl-C.

    Example:
        symnets relax runs/ethanol/model.safetensors CH3CH2OH --output ethanol.xyz
    """

    model: Positional[Path]
    """Model file written by `symnets train`, or the name of a published model in `symnets models`."""
    structure: Positional[str]
    """File that ASE reads (its last structure is taken), or the name of a molecule in ase.build.molecule."""
    optimizer: OptimizerName = "lbfgs"
    """lbfgs, bfgs (for few atoms) or fire (slower, more robust)."""
    fmax: float = 0.01
    """Converged when no force on an atom is larger than this, in eV/Å."""
    steps: int = 1000
    """Largest number of steps."""
    cell: bool = False
    """Also relax the cell of a periodic structure."""
    pressure: float = 0.0
    """Pressure on the cell in GPa, with --cell."""
    output: Path = Path("relaxed.xyz")
    """File for the final structure; its name determines the format (.xyz, .cif, POSCAR, ...)."""
    trajectory: Path | None = None
    """File for the intermediate structures; its name determines the format (.xyz, .traj, ...)."""
    overwrite: bool = False
    """Replace existing files."""
    device: str = "cpu"
    """Device of the model: cpu, cuda, cuda:1, ...; auto uses a GPU if there is one."""
    threads: int | None = None
    """CPU threads; by default torch's choice. In a queue, the number of cores of the job."""
    dtype: Literal["float32", "float64"] | None = None
    """Floating-point type of the model; by default the type in which it was saved."""

    def run(self) -> int:
        """Relax the structure and print energies and forces; the class states the exit status."""
        device = usable_device(self.device)
        if self.threads is not None:
            set_threads(self.threads)
        atoms = find_structure(self.structure)
        dtype = None if self.dtype is None else getattr(torch, self.dtype)
        result = relax(
            atoms,
            SymnetsCalculator(self.model, device=device, dtype=dtype),
            optimizer=self.optimizer,
            fmax=self.fmax,
            steps=self.steps,
            cell=self.cell,
            pressure=self.pressure,
            output=self.output,
            trajectory=self.trajectory,
            overwrite=self.overwrite,
            progress=True,
        )
        self._print(result)
        if result.interrupted:
            return 130
        if result.path is not None and result.path != Path(os.path.expanduser(self.output)):
            return 2
        return 0 if result.converged else 1

    def _print(self, result: Relaxation) -> None:
        console = Console()
        table = Table("", "", show_header=False, title=f"{result.n_steps} steps of {self.optimizer}")
        table.add_row("energy before / eV", f"{result.initial_energy:.6f}")
        table.add_row("energy / eV", f"{result.energy:.6f}")
        table.add_row("largest force / eV/Å", f"{result.fmax:.5f}")
        if result.pressure is not None:
            table.add_row("pressure / GPa", f"{result.pressure:.4f}")
            table.add_row("volume / Å³", f"{result.atoms.get_volume():.4f}")
        console.print(table)
        if result.interrupted:
            console.print("[yellow]stopped by Ctrl-C[/yellow]")
        elif not result.converged:
            console.print(f"[yellow]not converged in {self.steps} steps; raise --steps[/yellow]")
        console.print(f"structure {result.path}")
