"""`symnets evaluate`: errors of a model on labelled structures."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from ase import Atoms
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tyro.conf import Positional

from symnets.data import Loader, build_graphs, find_data, read_structures
from symnets.device import usable_device
from symnets.models import ForceField, load
from symnets.observables import Errors, Predictions, errors, predictions
from symnets.report import error_table, parity, save_picture, write

UNITS = {"energy": "eV", "energy_per_atom": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}


@dataclass(frozen=True)
class Evaluate:
    """Errors of a model on labelled structures: a table, a parity plot (PNG) and errors.json.

    MAE and RMSE of energies per atom and per structure, of force components in all and per element, and
    of stress. What the file does not label is left out, and said so.

    Example:
        symnets evaluate runs/acac/model.safetensors acac/test_MD_300K.xyz
    """

    model: Annotated[Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A model file, as `symnets train` writes it."""
    data: Annotated[Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Labelled structures in a format ASE reads; sought here, then in the folder SYMNETS_DATA."""
    output: Path | None = None
    """Folder for parity.png and errors.json; by default evaluation/NAME-OF-DATA beside the model."""
    json: bool = False
    """Print JSON alone, in eV and Å, for other programs to read."""
    batch_size: int = 16
    """Structures predicted at once; changes speed and memory, not results."""
    energy_key: str | None = None
    """Name of the energy (eV) in the file; by default ASE's own."""
    forces_key: str | None = None
    """Name of the forces (eV/Å) in the file; by default ASE's own."""
    stress_key: str | None = None
    """Name of the stress in the file; by default ASE's own."""
    stress_convention: Literal["ase", "vasp"] = "ase"
    """Of the stress in the file: ase (eV/Å³, positive under tension) or vasp (kbar, positive under
    compression, xx yy zz xy yz zx)."""
    device: str = "cpu"
    """Where the model runs: cpu, cuda, cuda:1, ...; auto is a GPU if there is one."""
    dtype: Literal["float32", "float64"] | None = None
    """Arithmetic of the model; by default the one it was trained in."""

    def run(self) -> None:
        """Predict, write the files and print the errors."""
        device = usable_device(self.device)
        dtype = None if self.dtype is None else getattr(torch, self.dtype)
        model = load(self.model, device=device, dtype=dtype)
        data = find_data(str(self.data))
        structures = read_structures(
            data,
            energy_key=self.energy_key,
            forces_key=self.forces_key,
            stress_key=self.stress_key,
            stress_convention=self.stress_convention,
        )
        found = labelled(structures, data)
        made = predict(model, structures, self.batch_size, progress=not self.json)
        if not made.finite.all():
            bad = np.flatnonzero(~made.finite)
            raise ValueError(
                f"{self.model}: predicts NaN or infinity for {len(bad)} of {len(structures)} structures of "
                f"{data}, the first is frame {bad[0]}; look at that frame, or train anew"
            )
        result, missing = errors(made), [name for name in ("energy", "forces") if name not in found]
        folder = self.output or self.model.parent / "evaluation" / data.stem
        picture = save_picture(parity(made), folder / "parity.png")
        report = self._report(data, result, missing, picture)
        text = json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False)
        write(folder / "errors.json", f"{text}\n".encode())
        if self.json:
            print(text)
        else:
            self._print(data, result, missing, folder)

    def _report(self, data: Path, result: Errors, missing: list[str], picture: Path) -> dict[str, Any]:
        return {
            "model": str(self.model),
            "data": str(data),
            "units": UNITS,
            "not_labelled": missing,
            "errors": asdict(result),
            "parity": str(picture),
        }

    def _print(self, data: Path, result: Errors, missing: list[str], folder: Path) -> None:
        console = Console()
        console.print(print_table(result, f"{self.model.name} on {data.name}"))
        if missing:
            console.print(
                f"[yellow]{data.name} holds no {' and no '.join(missing)}: their errors are unknown[/]"
            )
        console.print(f"{folder}/parity.png, {folder}/errors.json", soft_wrap=True)


def labelled(structures: Sequence[Atoms], source: Path) -> set[str]:
    """Which of energy, forces and stress at least one structure has.

    Raises:
        ValueError: none has any; the message lists the keys there are.
    """
    found = {name for atoms in structures if atoms.calc is not None for name in atoms.calc.results}
    if not found & {"energy", "forces", "stress"}:
        infos = sorted({key for atoms in structures for key in atoms.info})
        arrays = sorted({key for atoms in structures for key in atoms.arrays} - {"numbers", "positions"})
        raise ValueError(
            f"{source}: expected energies, forces or stress to compare with, found none in "
            f"{len(structures)} structures; if they have other names, give --energy-key, --forces-key or "
            f"--stress-key. Keys present: per structure {', '.join(infos) or 'none'}; "
            f"per atom {', '.join(arrays) or 'none'}"
        )
    return found


def predict(
    model: ForceField, structures: Sequence[Atoms], batch_size: int, *, progress: bool
) -> Predictions:
    """Predictions in the model's own arithmetic, with a progress bar on standard error."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    loader = Loader(build_graphs(structures, model.cutoff, dtype=dtype), batch_size)
    batches = track(
        loader,
        "predicting",
        total=len(loader),
        console=Console(stderr=True),
        transient=True,
        disable=not progress,
    )
    return predictions(model, batches)


def print_table(result: Errors, title: str) -> Table:
    """The table of errors for a terminal."""
    table = Table(title=f"{title}: {result.n_structures:,} structures", title_justify="left")
    table.add_column("")
    for name in ("MAE", "RMSE"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    table.add_column("count", justify="right")
    for row in error_table(result):
        table.add_row(*row)
    return table
