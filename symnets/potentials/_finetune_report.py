"""Report of a fine-tuning: what was gained on the data, and what was lost on the replay test set."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from symnets.data import AtomGraph, Loader
from symnets.device import model_device
from symnets.models import ForceField, load
from symnets.observables import Errors, Predictions, errors, predictions
from symnets.potentials._finetune import FOUNDATION_LEVEL, Start
from symnets.report import (
    Facts,
    Picture,
    Section,
    Table,
    html_report,
    parity,
    three_digits,
    write,
)

_ROWS = {
    "energy per atom": ("energy_per_atom", 1000.0, "meV/atom"),
    "energy, mean error removed": ("energy_shifted", 1000.0, "meV"),
    "forces": ("forces", 1000.0, "meV/Å"),
    "stress": ("stress", 1000.0, "meV/Å³"),
}
"""Rows of the table by name of the quantity: field of `Errors`, factor, unit."""
_FOUNDATION, _SHIFTED, _TUNED = "foundation model", "with shifted references", "fine-tuned"


def finetune_report(start: Start, validation: Sequence[AtomGraph], folder: Path) -> Table:
    """Write the errors before and after a fine-tuning to its folder, and return their table.

    Files: `finetune.json`, `finetune.html`, and parity plots `parity_foundation.png` and
    `parity_finetuned.png` of the validation structures, and `parity_replay.png` of the replay test set, with
    the labels of the foundation model.

    Args:
        start: start of the fine-tuning.
        validation: structures of the data that were not trained on.
        folder: folder of the training, which contains the fine-tuned model.
    """
    tuned = load(folder / "model.safetensors", ForceField, device=str(model_device(start.foundation)))
    foundation_level = tuned
    if start.heads:
        foundation_level = load(
            folder / FOUNDATION_LEVEL, ForceField, device=str(model_device(start.foundation))
        )
    size = max(start.config.optimizer.batch_size, 8)
    models = {_FOUNDATION: start.foundation, _SHIFTED: start.shifted, _TUNED: tuned}
    own = {name: predictions(model, Loader(validation, size)) for name, model in models.items()}
    teacher = _FOUNDATION if start.heads else _SHIFTED
    replayed: dict[str, Predictions] = {}
    if start.replay.test:
        for name, model in {teacher: models[teacher], _TUNED: foundation_level}.items():
            replayed[name] = predictions(model, Loader(start.replay.test, size))
    gains = {name: errors(predicted) for name, predicted in own.items()}
    losses = {name: errors(predicted) for name, predicted in replayed.items()}
    table = _table(gains, losses.get(_TUNED))
    document: dict[str, Any] = {
        **start.facts(),
        "config": asdict(start.config)["finetune"],
        "units": {"energy": "eV", "energy_per_atom": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"},
        "validation": {name: asdict(error) for name, error in gains.items()},
        "replay_test": {name: asdict(error) for name, error in losses.items()},
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    write(folder / "finetune.json", f"{text}\n".encode())
    pictures = {
        "parity_foundation.png": (
            own[_SHIFTED],
            "Validation structures, foundation model with shifted references.",
        ),
        "parity_finetuned.png": (own[_TUNED], "Validation structures, fine-tuned model."),
    }
    if replayed:
        pictures["parity_replay.png"] = (
            replayed[_TUNED],
            "Replay test set, fine-tuned model; the labels are those of the foundation model.",
        )
    figures = {name: Picture(parity(predicted), caption) for name, (predicted, caption) in pictures.items()}
    for name, picture in figures.items():
        write(folder / name, picture.png)
    html_report(
        folder / "finetune.html",
        f"Fine-tuning of {document['foundation']}",
        [
            Section("What was done", [Table(("", ""), [_cells(line) for line in start.lines()])]),
            Section("Errors", [Facts(_facts(gains)), table]),
            Section("Parity", list(figures.values())),
        ],
        lead="What was gained on validation structures, and what was lost on the replay test set.",
    )
    return table


def _cells(line: str) -> tuple[str, str]:
    """First word of a line, and the rest."""
    name, _, text = line.partition(" ")
    return name, text.strip()


def _facts(gains: Mapping[str, Errors]) -> dict[str, str]:
    before, after = gains[_FOUNDATION].forces, gains[_TUNED].forces
    if before is None or after is None:
        return {}
    return {
        "force RMSE before": f"{three_digits(1000 * before.rmse)} meV/Å",
        "force RMSE after": f"{three_digits(1000 * after.rmse)} meV/Å",
    }


def _table(gains: Mapping[str, Errors], loss: Errors | None) -> Table:
    """RMSE of the validation structures by each model, and of the replay test set by the fine-tuned one."""
    header = ["RMSE", *gains, "unit"]
    rows: list[list[str]] = []
    for quantity, (field, factor, unit) in _ROWS.items():
        found = [getattr(error, field) for error in gains.values()]
        if found[0] is not None:
            rows.append([quantity, *(three_digits(factor * error.rmse) for error in found), unit])
    for quantity, (field, factor, unit) in _ROWS.items():
        if loss is not None and field != "energy_shifted" and (error := getattr(loss, field)) is not None:
            zeros = ["0"] * (len(gains) - 1)  # the labels are predictions of the foundation model
            rows.append([f"replay test, {quantity}", *zeros, three_digits(factor * error.rmse), unit])
    return Table(header, rows)
