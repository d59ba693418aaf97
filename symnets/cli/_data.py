"""`symnets data generate` and `symnets data inspect`: make labelled structures, or look at some."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tyro.conf import Positional

from symnets.data import Contents, contents, find_structure, read_structures, sample, write_structures


@dataclass(frozen=True)
class Generate:
    """Labelled structures from molecular dynamics with GFN2-xTB, written as extended XYZ.

    Ctrl-C keeps the frames that are done.

    Example:
        symnets data generate CH3CH2OH --frames 600 --output ethanol.xyz
    """

    structure: Positional[str]
    """A molecule's name in ase.build.molecule, or a file that ASE reads (its last structure)."""
    output: Path = Path("frames.xyz")
    """Where the frames go."""
    temperature: float = 500.0
    """K."""
    frames: int = 200
    """Number of frames."""
    every: int = 10
    """Time steps between frames."""
    equilibration: int = 500
    """Time steps before the first frame."""
    timestep: float = 0.5
    """fs. 0.5 suits molecules with hydrogen."""
    seed: int = 0
    """Of the initial momenta and the noise; the same seed gives the same file."""
    overwrite: bool = False
    """Replace the output if it exists."""

    def run(self) -> int:
        """Run the dynamics; 130 after Ctrl-C."""
        structure = find_structure(self.structure)
        if self.output.exists() and not self.overwrite:
            raise ValueError(f"{self.output} exists; choose another --output, or pass --overwrite")
        self.output.parent.mkdir(parents=True, exist_ok=True)
        frames = sample(
            structure,
            temperature=self.temperature,
            frames=self.frames,
            every=self.every,
            equilibration=self.equilibration,
            timestep=self.timestep,
            seed=self.seed,
        )
        console, done, status = Console(), [], 0
        try:
            for frame in track(frames, "GFN2-xTB dynamics", total=self.frames, console=console):
                done.append(frame)
        except KeyboardInterrupt:
            status = 130
        finally:  # whatever ended the dynamics, frames that are done are good
            if done:
                write_structures(self.output, done)
                console.print(f"wrote {len(done)} of {self.frames} frames to {self.output}")
        return status


@dataclass(frozen=True)
class Inspect:
    """What a file of structures holds: counts, labels, ranges, neighbours, suspicious structures.

    Example:
        symnets data inspect ethanol.xyz --cutoff 4
    """

    path: Positional[Path]
    """Any file of structures that ASE reads."""
    cutoff: float = 5.0
    """Å, for counting neighbours."""
    energy_key: str | None = None
    """Name of the energy in the file; by default what ASE recognises."""
    forces_key: str | None = None
    """Name of the forces in the file."""
    stress_key: str | None = None
    """Name of the stress in the file."""
    stress_convention: Literal["ase", "vasp"] = "ase"
    """Of the stress in the file: ase (eV/Å³, positive under tension) or vasp (kbar, positive under
    compression, xx yy zz xy yz zx)."""
    too_close: float = 0.5
    """Å below which two atoms are reported."""

    def run(self) -> None:
        """Print the table."""
        structures = read_structures(
            self.path,
            energy_key=self.energy_key,
            forces_key=self.forces_key,
            stress_key=self.stress_key,
            stress_convention=self.stress_convention,
        )
        found = contents(structures, self.cutoff, too_close=self.too_close)
        table = _table(self.path, found, self.cutoff, self.too_close)
        table.add_row("reference energies", _determined(structures))
        Console().print(table)


def _determined(structures: Sequence[Atoms]) -> str:
    """What the compositions tell of the energies of the species, as least squares would find them."""
    species = sorted({number for atoms in structures for number in atoms.numbers})
    composition = np.array([[(atoms.numbers == number).sum() for number in species] for atoms in structures])
    rank = int(np.linalg.matrix_rank(composition))
    if rank == len(species):
        return f"rank {rank} of {len(species)} species: all determined"
    return (
        f"[yellow]rank {rank} of {len(species)} species[/]: only combinations determined; "
        "for other formulas give data.isolated_atoms"
    )


def _table(path: Path, found: Contents, cutoff: float, too_close: float) -> Table:
    table = Table("", "", title=str(path), show_header=False, title_justify="left")
    table.add_row("structures", f"{found.n_structures}")
    smallest, largest = found.n_atoms
    table.add_row("atoms per structure", f"{smallest}" if smallest == largest else f"{smallest} to {largest}")
    table.add_row("species (atoms)", ", ".join(f"{s} ({n})" for s, n in found.species.items()))
    formulas = [f"{formula} ({count})" for formula, count in found.formulas.items()]
    more = f", and {len(formulas) - 8} more" if len(formulas) > 8 else ""
    table.add_row("formulas (structures)", ", ".join(formulas[:8]) + more)
    table.add_row("periodic along", ", ".join(f"{axes} ({n})" for axes, n in found.periodic.items()))
    table.add_row(
        "structures with", ", ".join(f"{name} ({n})" for name, n in found.labelled.items()) or "no label"
    )
    table.add_row("keys per structure", ", ".join(found.structure_keys) or "none")
    table.add_row("keys per atom", ", ".join(found.atom_keys) or "none")
    if np.isfinite(found.energy_per_atom).all():
        low, high = found.energy_per_atom
        table.add_row("energy per atom", f"{low:.4f} to {high:.4f} eV")
    if np.isfinite(found.force_rms):
        table.add_row("force component", f"RMS {found.force_rms:.3f}, largest {found.force_max:.3f} eV/Å")
    table.add_row(f"neighbours in {cutoff:g} Å", "mean {:.1f}, {} to {}".format(*found.neighbors))
    table.add_row(
        "shortest distance", f"{found.shortest:.3f} Å" if np.isfinite(found.shortest) else "no pair"
    )
    for name, indices in (
        ("duplicates", found.duplicates),
        (f"atoms closer than {too_close:g} Å", found.too_close),
        ("isolated atoms inside", found.disconnected),
        ("refused", found.refused),
    ):
        if indices:
            shown = ", ".join(map(str, indices[:8])) + (", ..." if len(indices) > 8 else "")
            table.add_row(f"[yellow]{name}[/]", f"{len(indices)}: structures {shown}")
    if found.first_refusal:
        table.add_row("[yellow]first refusal[/]", found.first_refusal)
    return table
