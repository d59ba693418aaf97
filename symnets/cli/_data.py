"""`symnets data generate` and `symnets data inspect`: generate structures, or summarise files of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from ase import Atoms
from ase.units import GPa
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tyro.conf import Positional

from symnets.cli._label_options import LabelOptions
from symnets.config import Seed
from symnets.data import (
    DatasetSummary,
    StructureFile,
    counts_in_words,
    find_data_files,
    find_structure,
    is_isolated_atom,
    read_files,
    sample_trajectory,
    summarize,
)


@dataclass(frozen=True)
class Generate:
    """Generate labelled structures by molecular dynamics with GFN2-xTB, and write them as extended XYZ.

    After Ctrl-C the frames generated so far are written.

    Example:
        symnets data generate CH3CH2OH --frames 600 --output ethanol.xyz
    """

    structure: Positional[str]
    """Name of a molecule in ase.build.molecule, or a file that ASE reads (its last structure is taken)."""
    output: Path = Path("frames.xyz")
    """File to write; its name determines the format (.xyz, .xyz.gz, .traj, .db, ...)."""
    temperature: float = 500.0
    """Temperature in K."""
    frames: int = 200
    """Number of frames."""
    every: int = 10
    """Time steps between frames."""
    equilibration: int = 500
    """Time steps before the first frame."""
    timestep: float = 0.5
    """Time step in fs; 0.5 suits molecules with hydrogen."""
    seed: Seed = 0
    """Seed of the initial momenta and the noise; the same seed gives the same file."""
    overwrite: bool = False
    """Replace the output if it exists."""

    def run(self) -> int:
        """Run the dynamics; the exit status is 130 after Ctrl-C."""
        structure = find_structure(self.structure)
        several = self.frames > 1
        output = StructureFile(
            self.output, structure, several=several, overwrite=self.overwrite, option="--output"
        )
        frames = sample_trajectory(
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
        finally:  # frames before an error or an interruption are valid
            if done:
                output.write(done)
                console.print(f"wrote {len(done)} of {self.frames} frames to {output.path}")
        return status


@dataclass(frozen=True)
class Inspect:
    """Summarise files of structures: counts, labels, ranges, neighbours and suspicious structures.

    Structures that occur twice are listed, also if they are in two files, such as a training and a test set.

    Example:
        symnets data inspect train.xyz test.xyz --cutoff 4
    """

    data: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="DATA [DATA ...]")]
    """Structures: files that ASE reads, folders, globs in quotes such as "runs/*/OUTCAR", or ASE databases
    (.db, .aselmdb); a relative path is also looked up in the folder given by the environment variable
    SYMNETS_DATA."""
    cutoff: float = 5.0
    """Radius in Å within which neighbours are counted."""
    labels: Annotated[LabelOptions, tyro.conf.arg(name="")] = field(default_factory=LabelOptions)
    too_close: float = 0.5
    """Pairs of atoms closer than this, in Å, are reported."""

    def run(self) -> None:
        """Print the summary."""
        files = find_data_files(self.data)
        read = read_files(files, **asdict(self.labels))
        structures, names = [atoms for _, atoms in read], [name for name, _ in read]
        if len(files) == 1:
            names = [name.rpartition(", ")[2] for name in names]
        summary = summarize(structures, self.cutoff, too_close=self.too_close, names=names)
        table = _table(", ".join(map(str, files)), names, summary, self.cutoff, self.too_close)
        table.add_row("reference energies", _reference_energies(structures))
        Console().print(table)


def _reference_energies(structures: Sequence[Atoms]) -> str:
    """Whether isolated atoms, or a least-squares fit to the compositions, determine reference energies."""
    isolated = {atoms.numbers[0] for atoms in structures if is_isolated_atom(atoms)}
    others = [atoms for atoms in structures if not is_isolated_atom(atoms)]
    species = sorted({number for atoms in others for number in atoms.numbers})
    if isolated.issuperset(species):
        return f"from the isolated atoms, {len(isolated)} species"
    composition = np.array([[(atoms.numbers == number).sum() for number in species] for atoms in others])
    rank = int(np.linalg.matrix_rank(composition))
    if rank == len(species):
        return f"rank {rank} of {len(species)} species: all determined"
    return (
        f"[yellow]rank {rank} of {len(species)} species[/]: only combinations determined; "
        "for other formulas give data.isolated_atoms"
    )


def _table(
    title: str, names: Sequence[str], summary: DatasetSummary, cutoff: float, too_close: float
) -> Table:
    table = Table("", "", title=title, show_header=False, title_justify="left")
    table.add_row("structures", f"{summary.n_structures}")
    smallest, largest = summary.n_atoms
    table.add_row("atoms per structure", f"{smallest}" if smallest == largest else f"{smallest} to {largest}")
    table.add_row("species (atoms)", ", ".join(f"{s} ({n})" for s, n in summary.species.items()))
    formulas = [f"{formula} ({count})" for formula, count in summary.formulas.items()]
    more = f", and {len(formulas) - 8} more" if len(formulas) > 8 else ""
    table.add_row("formulas (structures)", ", ".join(formulas[:8]) + more)
    table.add_row("periodic along", ", ".join(f"{axes} ({n})" for axes, n in summary.periodic.items()))
    table.add_row("labels", counts_in_words(summary.labelled, summary.n_structures))
    if summary.config_types.keys() != {"none"}:
        table.add_row("config_type", ", ".join(f"{kind} ({n})" for kind, n in summary.config_types.items()))
    if 0 < summary.n_with_stress < summary.n_structures:
        none = summary.n_structures - summary.n_with_stress
        table.add_row("no stress possible", f"{none} structures that are not periodic or have no volume")
    if summary.isolated:
        atoms = ", ".join(f"{symbol} ({n})" for symbol, n in summary.isolated.items())
        table.add_row("isolated atoms", f"{atoms}: references, not trained on (config_type)")
    table.add_row("keys per structure", ", ".join(summary.structure_keys) or "none")
    table.add_row("keys per atom", ", ".join(summary.atom_keys) or "none")
    if np.isfinite(summary.energy_per_atom).all():
        low, high = summary.energy_per_atom
        table.add_row("energy per atom", f"{low:.4f} to {high:.4f} eV")
    if np.isfinite(summary.force_rms):
        table.add_row("force component", f"RMS {summary.force_rms:.3f}, largest {summary.force_max:.3f} eV/Å")
    if np.isfinite(summary.stress_rms):
        gigapascal = summary.stress_max / GPa
        table.add_row(
            "stress component",
            f"RMS {summary.stress_rms:.3g}, largest {summary.stress_max:.3g} eV/Å³ ({gigapascal:.3g} GPa)",
        )
    for sentence in summary.suspicious:
        table.add_row("[yellow]suspicious unit[/]", sentence)
    table.add_row(f"neighbours in {cutoff:g} Å", "mean {:.1f}, {} to {}".format(*summary.neighbors))
    table.add_row(
        "shortest distance", f"{summary.shortest:.3f} Å" if np.isfinite(summary.shortest) else "no pair"
    )
    if summary.duplicates:
        pairs = [f"{names[index]} is {names[other]}" for index, other in summary.duplicates]
        more = "; ..." if len(pairs) > 8 else ""
        table.add_row("[yellow]duplicates[/]", f"{len(pairs)}: {'; '.join(pairs[:8])}{more}")
    for name, indices in (
        (f"atoms closer than {too_close:g} Å", summary.too_close),
        ("isolated atoms inside", summary.disconnected),
        ("refused", summary.refused),
    ):
        if indices:
            listed = "; ".join(names[index] for index in indices[:8]) + ("; ..." if len(indices) > 8 else "")
            table.add_row(f"[yellow]{name}[/]", f"{len(indices)}: {listed}")
    if summary.first_refusal:
        table.add_row("[yellow]first refusal[/]", summary.first_refusal)
    return table
