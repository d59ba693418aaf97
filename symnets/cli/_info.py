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
from torch import nn
from tyro.conf import Positional

from symnets.models import describe, describe_image_net, load, load_image_net
from symnets.report import three_digits


@dataclass(frozen=True)
class Info:
    """What a model file holds: architecture, size and versions; of a potential its elements, how it was
    trained and its errors then; of an image net the images that it takes and what was noted of them.

    The file is read in full and its checksum compared: a file that `info` accepts will load.

    Example:
        symnets info runs/acac/model.safetensors
        symnets info vgg.safetensors
    """

    model: Annotated[Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A model file, as `symnets train` or `save_image_net` writes it."""
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
    if _is_image_net(path):
        net = load_image_net(path)
        return _shared(path, net, describe_image_net(path)) | {"images": list(getattr(net, "shape", ()))}
    model = load(path)
    return _shared(path, model, describe(path)) | {
        "species": [chemical_symbols[number] for number in model.species],
        "cutoff": model.cutoff,
    }


def rows(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts as lines of text."""
    shown = {"species", "cutoff", "shape", "shift", "scale"}  # have lines of their own, or are long
    rest = {name: value for name, value in held["arguments"].items() if name not in shown}
    makers = [f"{name} {version}" for name, version in held["versions"].items() if version]
    lines = [
        ("architecture", " of ".join([*held["wrappers"], held["architecture"]])),
        *_takes(held),
        ("settings", ", ".join(f"{name} {_short(value)}" for name, value in rest.items())),
        ("parameters", f"{held['n_parameters']:,}"),
        ("arithmetic", held["dtype"]),
        ("size", f"{held['bytes'] / 1e6:.2f} MB"),
        (
            "written by",
            ", ".join(makers),
        ),
    ]
    if "images" in held:
        return lines + [(name, _short(value)) for name, value in held["extra"].items()]
    return lines + _errors(held["extra"].get("errors") or {})


def _is_image_net(path: Path) -> bool:
    try:
        describe_image_net(path)
    except (ValueError, FileNotFoundError):  # what it is, or is not, those who read it will say
        return False
    return True


def _shared(path: Path, model: nn.Module, header: Mapping[str, Any]) -> dict[str, Any]:
    """What models of all kinds have."""
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
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "dtype": header["dtype"],
        "versions": header["versions"] | (header["extra"].get("provenance") or {}),
        "extra": header["extra"],
    }


def _takes(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "images" in held:
        channels, *sides = held["images"]
        return [("images", f"{channels} x {' x '.join(map(str, sides))} (channels, rows, columns)")]
    return [("elements", " ".join(held["species"])), ("cutoff", f"{held['cutoff']:g} Å")]


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
                lines.append((label, f"{three_digits(1000 * value)} {unit}"))
    return lines
