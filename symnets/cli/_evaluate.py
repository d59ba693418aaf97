"""`symnets evaluate`: the errors of a potential on labelled structures."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from ase import Atoms
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from tyro.conf import Positional

from symnets.data import Loader, build_graphs, find_data, keys_present, read_structures, suspicious_labels
from symnets.device import usable_device
from symnets.files import claim, own_folder, read_report
from symnets.models import ForceField, load
from symnets.observables import Errors, Predictions, errors, predictions
from symnets.report import Table, error_table, parity, save_picture, terminal_table, write
from symnets.threads import set_threads

UNITS = {"energy": "eV", "energy_per_atom": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}


@dataclass(frozen=True)
class Evaluate:
    """Measure the errors of a potential on labelled structures.

    Prints a table and writes a parity plot (parity.png) and errors.json: MAE and RMSE of the energy per
    atom and per structure, of force components in total and per element, and of stress. Quantities
    without labels are left out, with a note. With --json nothing is written, unless --output names a folder.

    Example:
        symnets evaluate runs/acac/model.safetensors acac/test_MD_300K.xyz
    """

    model: Annotated[Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """Model file written by `symnets train`."""
    data: Annotated[Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Labelled structures in a format that ASE reads; a relative path is also looked up in the folder that
    the environment variable SYMNETS_DATA names."""
    output: Path | None = None
    """Folder for parity.png and errors.json; by default evaluation/NAME-OF-DATA beside the model, followed by
    -2, -3, ... for other models and data of the same name."""
    json: bool = False
    """Print only JSON, in eV and Å, for use by other programs."""
    batch_size: int = 16
    """Structures per batch; changes speed and memory, not results."""
    energy_key: str | None = None
    """Key of the energy (eV) in the file; by default the one ASE recognises."""
    forces_key: str | None = None
    """Key of the forces (eV/Å) in the file; by default the one ASE recognises."""
    stress_key: str | None = None
    """Key of the stress in the file; by default the one ASE recognises."""
    virial_key: str | None = None
    """Key of the virial, -volume times stress in eV, from which the stress is computed."""
    stress_convention: Literal["ase", "vasp"] = "ase"
    """Convention of the stress in the file: ase (eV/Å³, positive under tension) or vasp (kbar, positive
    under compression, order xx yy zz xy yz zx)."""
    device: str = "cpu"
    """Device of the model: cpu, cuda, cuda:1, ...; auto uses a GPU if there is one."""
    threads: int | None = None
    """CPU threads; by default torch's choice. In a queue, the number of cores of the job."""
    dtype: Literal["float32", "float64"] | None = None
    """Floating-point type of the model; by default the type in which it was saved."""

    def run(self) -> None:
        """Predict, write the files and print the errors."""
        device = usable_device(self.device)
        if self.threads is not None:
            set_threads(self.threads)
        dtype = None if self.dtype is None else getattr(torch, self.dtype)
        data = find_data(str(self.data))
        folder = self._folder(data)
        model = load(self.model, ForceField, device=device, dtype=dtype)
        structures = read_structures(
            data,
            energy_key=self.energy_key,
            forces_key=self.forces_key,
            stress_key=self.stress_key,
            virial_key=self.virial_key,
            stress_convention=self.stress_convention,
        )
        labels = labelled(structures, data)
        for sentence in suspicious_labels(structures):
            Console(stderr=True).print(f"[yellow]warning:[/] {escape(f'{data}: {sentence}')}", soft_wrap=True)
        predicted = self._predict(model, structures)
        if not predicted.finite.all():
            bad = np.flatnonzero(~predicted.finite)
            raise ValueError(
                f"{self.model}: predicts NaN or infinity for {len(bad)} of {len(structures)} structures of "
                f"{data}, the first is frame {bad[0]}; check that frame, or train the model again"
            )
        result, missing = errors(predicted), [name for name in ("energy", "forces") if name not in labels]
        try:
            if folder is not None:
                inputs = self._inputs(data).items()
                if self.output is None:
                    folder = own_folder(
                        folder, lambda place: inputs <= read_report(place / "errors.json").items()
                    )
                text = self._report(data, result, missing, folder)
                write(folder / "errors.json", f"{text}\n".encode())
                save_picture(parity(predicted), folder / "parity.png")
        finally:  # results are printed even if the disk is full
            if self.json:
                print(self._report(data, result, missing, folder))
            else:
                self._print(data, result, missing, folder)

    def _folder(self, data: Path) -> Path | None:
        """Folder for the files, checked before the work; None if there will be no files."""
        if self.json and self.output is None:
            return None
        folder = self.output or self.model.parent / "evaluation" / data.stem
        return claim(folder / "errors.json", overwrite=True, option="--output").parent

    def _inputs(self, data: Path) -> dict[str, str]:
        return {"model": os.path.abspath(self.model), "data": os.path.abspath(data)}

    def _predict(self, model: ForceField, structures: Sequence[Atoms]) -> Predictions:
        """Predictions in the dtype of the model, with a progress bar on standard error."""
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
        loader = Loader(build_graphs(structures, model.cutoff, dtype=dtype), self.batch_size)
        batches = track(
            loader,
            "predicting",
            total=len(loader),
            console=Console(stderr=True),
            transient=True,
            disable=self.json,
        )
        return predictions(model, batches)

    def _report(self, data: Path, result: Errors, missing: list[str], folder: Path | None) -> str:
        report = self._inputs(data) | {
            "units": UNITS,
            "not_labelled": missing,
            "errors": asdict(result),
            "parity": None if folder is None else str(folder / "parity.png"),
        }
        return json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False)

    def _print(self, data: Path, result: Errors, missing: list[str], folder: Path | None) -> None:
        console = Console()
        table = Table(("", "MAE", "RMSE", "unit", "count"), error_table(result))
        title = f"{self.model.name} on {data.name}: {result.n_structures:,} structures"
        console.print(terminal_table(table, title))
        if missing:
            console.print(
                f"[yellow]{data.name} has no labels of {' and '.join(missing)}: their errors are unknown[/]"
            )
        console.print(f"{folder}/parity.png, {folder}/errors.json", soft_wrap=True)


def labelled(structures: Sequence[Atoms], source: Path) -> set[str]:
    """Names of the results (energy, forces, stress, ...) that at least one structure has as labels.

    Raises:
        ValueError: no structure has energy, forces or stress; the message lists the keys of the file.
    """
    names = {name for atoms in structures if atoms.calc is not None for name in atoms.calc.results}
    if not names & {"energy", "forces", "stress"}:
        per_structure, per_atom = (", ".join(keys) or "none" for keys in keys_present(structures))
        raise ValueError(
            f"{source}: expected labels of energy, forces or stress, found none in "
            f"{len(structures)} structures; if they have other keys, pass --energy-key, --forces-key, "
            f"--stress-key or --virial-key. Keys present: per structure {per_structure}; per atom {per_atom}"
        )
    return names
