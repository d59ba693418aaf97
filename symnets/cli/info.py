"""`symnets info`: what a model file holds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml
from ase.data import chemical_symbols
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from symnets.models import describe, load
from symnets.report.error_table import digits


@dataclass(frozen=True)
class Info:
    """What a model file holds: architecture, elements, size, how it was trained and its errors then.

    The file is read in full and its checksum compared: a file that `info` accepts will load.

    Example:
        symnets info runs/acac/model.safetensors
    """

    model: Annotated[Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A model file, as `symnets train` writes it."""
    json: bool = False
    """Print JSON alone, in eV and Å, for other programs to read."""

    def run(self) -> None:
        """Read the file and print."""
        held = facts(self.model)
        if self.json:
            print(json.dumps(held, indent=2, ensure_ascii=False))
            return
        console = Console()
        table = Table(title=str(self.model), title_justify="left", show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for name, value in rows(held):
            table.add_row(name, value)
        console.print(table, markup=False)
        if training := held["extra"].get("training"):
            console.print("\ntrained with")
            text = yaml.safe_dump(training, sort_keys=False, default_flow_style=None)
            console.print(text.rstrip(), markup=False, highlight=False)


def facts(path: Path) -> dict[str, Any]:
    """All that can be said of a model file, as plain JSON.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, altered, or no symnets model.
    """
    model, header = load(path), describe(path)
    wrappers, recipe = [], header["recipe"]
    while inner := [a for a in recipe["arguments"].values() if isinstance(a, dict) and "class" in a]:
        wrappers.append(recipe["class"])
        recipe = inner[0]
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "architecture": recipe["class"],
        "wrappers": wrappers,
        "arguments": recipe["arguments"],
        "species": [chemical_symbols[number] for number in model.species],
        "cutoff": model.cutoff,
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "dtype": header["dtype"],
        "versions": header["versions"] | (header["extra"].get("provenance") or {}),
        "extra": header["extra"],
    }


def rows(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts as lines of text."""
    shown = {"species", "cutoff", "shift", "scale"}  # have lines of their own, or are long
    rest = {name: value for name, value in held["arguments"].items() if name not in shown}
    makers = [f"{name} {version}" for name, version in held["versions"].items() if version]
    lines = [
        ("architecture", " of ".join([*held["wrappers"], held["architecture"]])),
        ("elements", " ".join(held["species"])),
        ("cutoff", f"{held['cutoff']:g} Å"),
        ("settings", ", ".join(f"{name} {_short(value)}" for name, value in rest.items())),
        ("parameters", f"{held['n_parameters']:,}"),
        ("arithmetic", held["dtype"]),
        ("size", f"{held['bytes'] / 1e6:.2f} MB"),
        (
            "written by",
            ", ".join(makers),
        ),
    ]
    return lines + _errors(held["extra"].get("errors") or {})


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _errors(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Validation errors at the time of saving, `validation/NAME_KIND` in eV, eV/Å and eV/Å³."""
    units = {"energy_per_atom": "meV/atom", "energy": "meV", "forces": "meV/Å", "stress": "meV/Å³"}
    lines = []
    if "step" in row:
        lines.append(("saved at step", f"{int(row['step']):,}"))
    for name, unit in units.items():
        for kind in ("mae", "rmse"):
            if (value := row.get(f"validation/{name}_{kind}")) is not None:
                label = f"validation {name.replace('_', ' ')} {kind.upper()}"
                lines.append((label, f"{digits(1000 * value)} {unit}"))
    return lines
