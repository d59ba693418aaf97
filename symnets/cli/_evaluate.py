"""`symnets evaluate`: the errors of a potential on labelled structures."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from tyro.conf import Positional

from symnets.cli._evaluate_tensors import TensorEvaluation, evaluate_tensors
from symnets.cli._evaluation_data import EvaluationData
from symnets.cli._label_options import LabelOptions
from symnets.data import AtomGraph, Loader, build_graphs, find_data_files, read_files, suspicious_labels
from symnets.device import usable_device
from symnets.files import claim, own_folder, read_report
from symnets.models import FOUNDATION_MODELS, ForceField, TensorModel, load
from symnets.observables import Errors, Predictions, errors, predictions
from symnets.report import (
    Table,
    error_table,
    parity,
    save_picture,
    tensor_parity,
    tensor_table,
    terminal_table,
    write,
)
from symnets.threads import set_threads

UNITS = {"energy": "eV", "energy_per_atom": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}


@dataclass(frozen=True)
class Evaluate:
    """Measure the errors of a potential on labelled structures.

    Prints a table and writes a parity plot (parity.png) and errors.json: MAE and RMSE of the energy per
    atom and per structure, of force components in total and per element, and of stress. For tensors, such as
    dipoles, it prints MAE, RMSE and R², and writes tensors.png. Any structure may lack any label: errors are
    means over the labels that are present, and the table has their count. Structures with
    config_type=IsolatedAtom are left out. With --json nothing is written, unless --output names a folder.

    Example:
        symnets evaluate runs/acac/model.safetensors acac/test_MD_300K.xyz
    """

    model: Annotated[Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """Model file written by `symnets train`, or the name of a published model in `symnets models`."""
    data: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="DATA [DATA ...]")]
    """Labelled structures: files that ASE reads, folders, globs in quotes such as "runs/*/OUTCAR", or ASE
    databases (.db, .aselmdb); a relative path is also looked up in the folder given by the environment
    variable SYMNETS_DATA."""
    output: Path | None = None
    """Folder for parity.png and errors.json; by default evaluation/NAME-OF-DATA beside the model, followed by
    -2, -3, ... for other models and data of the same name."""
    json: bool = False
    """Print only JSON, in eV and Å, for use by other programs."""
    batch_size: int = 16
    """Structures per batch; changes speed and memory, not results."""
    labels: Annotated[LabelOptions, tyro.conf.arg(name="")] = field(default_factory=LabelOptions)
    tensor_keys: dict[str, str] = field(default_factory=dict)
    """Keys of tensors in the file by name, such as `dipole mu`; by default those of the training."""
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
        files = find_data_files(self.data)
        folder = self._folder(files)
        model = load(self.model, device=device, dtype=dtype)
        if not isinstance(model, ForceField | TensorModel):
            load(self.model, ForceField)  # raises ValueError, with the class of the model
            raise AssertionError
        read = read_files(files, **asdict(self.labels))
        data = EvaluationData.of(files, read)
        force_field = model if isinstance(model, ForceField) else model.force_field
        if force_field is model:
            data.check_labels()
        for sentence in suspicious_labels(data.structures, data.names):
            Console(stderr=True).print(f"[yellow]warning:[/] {escape(sentence)}", soft_wrap=True)
        weights = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
        graphs = build_graphs(data.structures, model.cutoff, dtype=weights)
        tensors = None
        if isinstance(model, TensorModel):
            options = {"source": data.title, "batch_size": self.batch_size}
            tensors = evaluate_tensors(
                self.model, model, data.structures, graphs, self.tensor_keys, **options
            )
        predicted = None if force_field is None else self._predict(force_field, graphs)
        if predicted is not None and not predicted.finite.all():
            bad = np.flatnonzero(~predicted.finite)
            raise ValueError(
                f"{self.model}: predicts NaN or infinity for {len(bad)} of {len(predicted.energy)} "
                f"structures, the first is {data.names[bad[0]]}; check that frame, or train the model again"
            )
        result = None if predicted is None else errors(predicted)
        counts, missing = {}, []
        if result is not None:
            counts |= data.counts
            missing += [name for name in ("energy", "forces") if not counts[name]]
        if tensors is not None:
            counts |= tensors.counts
            missing += tensors.missing
        measured = _Measured(data, counts, missing, result, tensors)
        try:
            if folder is not None:
                inputs = self._inputs(data).items()
                if self.output is None:
                    folder = own_folder(
                        folder, lambda place: inputs <= read_report(place / "errors.json").items()
                    )
                text = self._report(measured, folder)
                write(folder / "errors.json", f"{text}\n".encode())
                if predicted is not None and any(data.counts.values()):
                    save_picture(parity(predicted), folder / "parity.png")
                if tensors is not None and tensors.errors:
                    save_picture(tensor_parity(tensors.values, tensors.units), folder / "tensors.png")
        finally:  # results are printed even if the disk is full
            if self.json:
                print(self._report(measured, folder))
            else:
                self._print(measured, folder)

    def _folder(self, files: Sequence[Path]) -> Path | None:
        """Folder for the files, checked before the evaluation; None if no files will be written."""
        if self.json and self.output is None:
            return None
        others = f"-and-{len(files) - 1}-more" if len(files) > 1 else ""
        folder = self.output or self.model.parent / "evaluation" / f"{files[0].stem}{others}"
        return claim(folder / "errors.json", overwrite=True, option="--output").parent

    def _inputs(self, data: EvaluationData) -> dict[str, Any]:
        """Absolute paths of model and data, which identify the results of the same evaluation."""
        model = str(self.model)
        model = model if model in FOUNDATION_MODELS else os.path.abspath(model)
        return {"model": model, "data": data.paths}

    def _predict(self, model: ForceField, graphs: Sequence[AtomGraph]) -> Predictions:
        """Predictions with a progress bar on standard error."""
        loader = Loader(graphs, self.batch_size)
        batches = track(
            loader,
            "predicting",
            total=len(loader),
            console=Console(stderr=True),
            transient=True,
            disable=self.json,
        )
        return predictions(model, batches)

    def _report(self, measured: "_Measured", folder: Path | None) -> str:
        """Content of errors.json."""
        tensors = measured.tensors
        report = self._inputs(measured.data) | {
            "units": UNITS,
            "n_structures": len(measured.data.structures),
            "n_isolated_atoms": measured.data.n_isolated,
            "labelled": measured.counts,
            "not_labelled": measured.missing,
            "errors": None if measured.result is None else asdict(measured.result),
            "parity": None if folder is None else str(folder / "parity.png"),
        }
        if tensors is not None:
            report["tensors"] = {
                name: {"unit": tensors.units[name], **asdict(error)} for name, error in tensors.errors.items()
            }
        return json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False)

    def _print(self, measured: "_Measured", folder: Path | None) -> None:
        console, data, tensors = Console(), measured.data, measured.tensors
        title, pictures = f"{self.model.name} on {data.title}: {len(data.structures):,} structures", []
        if measured.result is not None and (rows := error_table(measured.result)):
            table = Table(("", "MAE", "RMSE", "unit", "count"), rows)
            console.print(terminal_table(table, title))
            pictures.append("parity.png")
        if tensors is not None and tensors.errors:
            rows = tensor_table(tensors.errors, tensors.units)
            table = Table(("", "MAE", "RMSE", "unit", "R²", "components"), rows)
            console.print(terminal_table(table, title))
            pictures.append("tensors.png")
        console.print(data.sentence(measured.counts), soft_wrap=True, highlight=False)
        if measured.missing:
            missing = " and ".join(measured.missing)
            console.print(f"[yellow]{data.title} has no labels of {missing}: their errors are unknown[/]")
        files = ", ".join(f"{folder}/{name}" for name in (*pictures, "errors.json"))
        console.print(files, soft_wrap=True)


@dataclass(frozen=True)
class _Measured:
    """Data, counts of labels and errors of one evaluation."""

    data: EvaluationData
    counts: dict[str, int]
    """Numbers of structures with each label."""
    missing: list[str]
    """Names of energy, forces and tensors for which no structure has labels."""
    result: Errors | None
    tensors: TensorEvaluation | None
