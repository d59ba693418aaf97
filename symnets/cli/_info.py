"""`symnets info`: contents of a model file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml
from ase.data import chemical_symbols
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from symnets.models import (
    CloudClassifier,
    ForceField,
    OnClouds,
    PlainPointNet,
    TensorModel,
    TensorOutput,
    Tensors,
    describe,
    foundation_file,
    load,
)
from symnets.potentials import TensorConfig
from symnets.report import three_digits


@dataclass(frozen=True)
class Info:
    """Print the contents of a model file: architecture, size, dtype and versions.

    For a potential, it also prints the elements, the tensor outputs, the errors and the configuration of its
    training; for an image net, the shape of its images; for a net on point clouds, its points and classes and
    the notes saved with it.

    The file is read in full and its checksum is compared: a file that `info` accepts will load.

    Example:
        symnets info runs/acac/model.safetensors
        symnets info vgg.safetensors
        symnets info nequix-oam-1
    """

    model: Annotated[Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A model file, written by `symnets train` or `symnets.models.save`, or the name of a published model in
    `symnets models`."""
    json: bool = False
    """Print JSON alone, in eV and Å, for other programs to read."""

    def run(self) -> None:
        """Read the file and print."""
        content = contents(self.model)
        if self.json:
            print(json.dumps(content, indent=2, ensure_ascii=False))
            return
        console = Console()
        table = Table(title=str(self.model), title_justify="left", show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for name, value in rows(content):
            table.add_row(name, value)
        console.print(table, markup=False)
        if training := content["extra"].get("training"):
            console.print("\ntrained with")
            text = yaml.safe_dump(training, sort_keys=False, default_flow_style=None)
            console.print(text.rstrip(), markup=False, highlight=False)


def contents(path: Path) -> dict[str, Any]:
    """Contents of a model file as plain JSON.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, altered, or not a symnets model.
    """
    model, header = load(path), describe(path)
    wrappers, wrapper_arguments, recipe = [], {}, header["recipe"]
    while inner := [a for a in recipe["arguments"].values() if isinstance(a, dict) and "class" in a]:
        wrappers.append(recipe["class"])
        wrapper_arguments[recipe["class"]] = {
            n: a for n, a in recipe["arguments"].items() if a is not inner[0]
        }
        recipe = inner[0]
    content = {
        "file": str(path),
        "bytes": foundation_file(path).stat().st_size,
        "architecture": recipe["class"],
        "wrappers": wrappers,
        "arguments": recipe["arguments"],
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "dtype": header["dtype"],
        "versions": header["versions"] | (header["extra"].get("provenance") or {}),
        "extra": header["extra"],
    }
    if isinstance(model, TensorModel):
        content["outputs"] = {name: asdict(output) for name, output in model.outputs.items()}
    elif isinstance(model, Tensors):
        content["outputs"] = {"": asdict(model.output)}
    if isinstance(model, ForceField | TensorModel | Tensors):
        species = [chemical_symbols[number] for number in model.species]
        return content | {"species": species, "cutoff": model.cutoff}
    if isinstance(model, CloudClassifier | OnClouds | PlainPointNet):
        numbers = recipe["arguments"].get("species")  # only graph networks have species
        species = {} if numbers is None else {"species": [chemical_symbols[number] for number in numbers]}
        return content | {"wrapper_arguments": wrapper_arguments} | species
    return content | {"images": list(recipe["arguments"]["shape"])}


def rows(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Contents of a model file as lines of text."""
    elsewhere = {"species", "cutoff", "shape", "shift", "scale"}  # shown on other lines, or too long
    settings = {name: value for name, value in content["arguments"].items() if name not in elsewhere}
    makers = [f"{name} {version}" for name, version in content["versions"].items() if version]
    wrappers = content.get("wrapper_arguments", {})  # only nets on point clouds have them
    lines = [
        ("architecture", " of ".join([*content["wrappers"], content["architecture"]])),
        *_inputs(content),
        *_outputs(content),
        *((f"settings of {name}", _listed(arguments)) for name, arguments in wrappers.items()),
        ("settings", _listed(settings)),
        ("parameters", f"{content['n_parameters']:,}"),
        ("dtype", content["dtype"]),
        ("size", f"{content['bytes'] / 1e6:.2f} MB"),
        ("written by", ", ".join(makers)),
    ]
    if "images" in content or "wrapper_arguments" in content:
        return lines + [(name, _short(value)) for name, value in content["extra"].items()]
    origin = content["extra"].get("foundation_model") or {}
    lines += [(name.replace("_", " "), value) for name, value in origin.items()]
    return lines + _errors(content["extra"].get("errors") or {}) + _tensor_errors(content)


def _inputs(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "images" in content:
        channels, *sides = content["images"]
        return [("images", f"{channels} x {' x '.join(map(str, sides))} (channels, rows, columns)")]
    if "wrapper_arguments" in content:
        if "species" not in content:
            return []
        kinds = " ".join(str(number - 1) for number in content["arguments"]["species"])
        points = f"of kind {kinds}, or of the elements {' '.join(content['species'])}"
        return [("points", points), ("radius of edges", f"{content['arguments']['cutoff']:g}")]
    return [("elements", " ".join(content["species"])), ("cutoff", f"{content['cutoff']:g} Å")]


def _outputs(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A line for each tensor output: its kind or irreps, and whether each structure or atom has one."""
    lines = []
    for name, fields in content.get("outputs", {}).items():
        output = TensorOutput(**fields)
        what = output.irreps if output.irreps is not None else output.kind
        per = "atom" if output.of_atoms else "structure"
        lines.append(
            (f"output {name}".rstrip(), f"{what}, {' x '.join(map(str, output.shape)) or 1} per {per}")
        )
    return lines


def _tensor_errors(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Validation errors of tensors at the time of saving, in the units of their labels."""
    errors = content["extra"].get("errors") or {}
    training = (content["extra"].get("training") or {}).get("tensors") or {}
    return [
        (f"validation {name} {kind.upper()}", f"{value:.4g} {TensorConfig(**options).unit_of(name)}".rstrip())
        for name, options in training.items()
        for kind in ("mae", "rmse")
        if (value := errors.get(f"validation/{name}_{kind}")) is not None
    ]


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in settings.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _errors(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Validation errors at the time of saving, from `validation/NAME_KIND` in eV, eV/Å and eV/Å³."""
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
