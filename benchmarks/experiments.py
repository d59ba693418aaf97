"""Findings, rows and figures of the experiments, as the documentation shows them.

    symnets sweep NAME --preset PRESET --output RUNS/NAME   # each experiment, alone on the machine
    python benchmarks/experiments.py findings RUNS/NAME ... # findings -> results/findings/NAME.json
    python benchmarks/experiments.py rows RUNS/NAME ...     # tables of runs -> results/experiments/NAME.*
    python benchmarks/experiments.py figures [NAME ...]     # rows -> docs/experiments, docs/images

`findings` stores the findings of a sweep with the machine and the commits of its runs; they replace those of
the same experiment, preset and `--set`. `--busy` says that the machine had other work, so that the time is an
upper bound. `rows` stores a table of runs as CSV and the arrays that the figure and the findings read as
JSON, both rounded to seven significant digits; arrays of more than a million numbers in total are stored in
half precision (.npz). `figures` draws the figures of the named experiments. By default it draws all
experiments whose rows are committed, and the pictures of the front page. `findings` needs the extra `bench`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from symnets.estimates import by_net
from symnets.experiments import jamming_sharpness, stability_by_layer
from symnets.report import save_picture, style
from symnets.sweeps import Arrays, Table, find

HERE = Path(__file__).parent
FINDINGS = HERE / "results" / "findings"
ROWS = HERE / "results" / "experiments"
DOCS = HERE.parent / "docs"
LARGE = 1_000_000
"""Numbers of arrays above which they are stored in half precision."""
LARGE_PICTURE = 150_000
"""Bytes of a picture above which it is stored with 128 colours."""
PROVENANCE = ["experiment", "error", "seconds", "commit", "code_hash"]


def findings(directory: Path, changed: str | None, *, busy: bool) -> None:
    """Store the findings of a sweep in results/findings/NAME.json, and print them."""
    from machine import machine

    summary = json.loads((directory / "findings.json").read_text("utf-8"))
    name = summary["experiment"]
    table = Table.load(directory, name)
    preset = preset_of(name, table)
    where = {"preset": preset} | ({"set": changed} if changed else {})
    seconds = round(float(table["seconds"].sum()), 1)
    sweep = where | {
        "runs": summary["runs"],
        "failed": summary["failed"],
        "core_seconds": None if busy else seconds,
        **({"core_seconds_at_most": seconds} if busy else {}),
        "commits": sorted({str(commit)[:9] for commit in table["commit"]}),
        "machine": machine(),
        "findings": summary["findings"],
    }
    path = FINDINGS / f"{name}.json"
    others = [known for known in (kept(path) if path.exists() else []) if not same_grid(known, sweep)]
    order = [*find(name).PRESETS, "other"]
    write(path, name, sorted([*others, sweep], key=lambda known: order.index(known["preset"])))
    for finding in sweep["findings"]:
        error = "" if finding["error"] is None else f" ± {finding['error']:.2g}"
        mark = "yes" if finding["agrees"] else "NO"
        print(f"{name}: {finding['quantity']}: {finding['measured']:.4g}{error}: {mark}")


def kept(path: Path) -> list[dict]:
    """The sweeps of an experiment whose findings are stored."""
    return json.loads(path.read_text("utf-8"))["sweeps"]


def same_grid(one: dict, other: dict) -> bool:
    """Whether two sweeps have the same preset and the same `--set`."""
    return (one["preset"], one.get("set")) == (other["preset"], other.get("set"))


def write(path: Path, name: str, sweeps: list[dict]) -> None:
    """Write the findings of an experiment."""
    path.parent.mkdir(exist_ok=True)
    document = {"experiment": name, "sweeps": sweeps}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def preset_of(name: str, table: pd.DataFrame) -> str:
    """The preset with as many runs as the table, or "other"."""
    presets = find(name).PRESETS
    return next((preset for preset, configs in presets.items() if len(configs) == len(table)), "other")


def rows(directory: Path) -> None:
    """Store the runs of one experiment in NAME.csv, and its figure's arrays in NAME.json or NAME.npz."""
    table = Table.load(directory)
    (name,) = set(table["experiment"])
    table = table[table["error"].isna()].drop(columns=PROVENANCE)
    experiment, read = find(name), Table.arrays(directory)
    used: dict[str, dict[str, np.ndarray]] = {}

    def arrays(run: str) -> dict[str, np.ndarray]:
        used[run] = dict(read(run))
        return used[run]

    experiment.findings(table, arrays)
    experiment.figure(table, arrays)
    ROWS.mkdir(exist_ok=True)
    table.to_csv(ROWS / f"{name}.csv", float_format="%.7g")
    if sum(array.size for found in used.values() for array in found.values()) > LARGE:
        halves = {f"{run}/{key}": _half(array) for run, found in used.items() for key, array in found.items()}
        np.savez_compressed(ROWS / f"{name}.npz", **halves)
    elif used:
        kept = {run: {key: _plain(array) for key, array in found.items()} for run, found in used.items()}
        (ROWS / f"{name}.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n", "utf-8")


def _half(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    if abs(array).max() > np.finfo(np.float16).max:
        raise ValueError(f"expected values below 65,504 for half precision, got {abs(array).max():g}")
    return array.astype(np.float16)


def _plain(array: np.ndarray) -> list:
    if array.dtype.kind == "f":
        array = np.array([float(f"{value:.7g}") for value in array.ravel()]).reshape(array.shape)
    return array.tolist()


def committed() -> list[str]:
    """Names of the experiments whose rows are committed."""
    return sorted(path.stem for path in ROWS.glob("*.csv"))


def load(name: str) -> tuple[pd.DataFrame, Arrays]:
    """The committed table of an experiment, and its arrays."""
    table = pd.read_csv(ROWS / f"{name}.csv", index_col="hash", dtype={"hash": str})
    kept: dict[str, dict[str, np.ndarray]] = {}
    if (path := ROWS / f"{name}.json").exists():
        for run, arrays in json.loads(path.read_text("utf-8")).items():
            kept[run] = {key: np.array(value) for key, value in arrays.items()}
    elif (path := ROWS / f"{name}.npz").exists():
        for label, array in np.load(path).items():  # RUN/ARRAY
            run, key = label.split("/")
            kept.setdefault(run, {})[key] = array.astype(float) if array.dtype.kind == "f" else array
    return table, kept.__getitem__


def figures(names: list[str]) -> None:
    """Draw docs/experiments/NAME.png from committed rows; without names, all and those of the front page."""
    for name in names or committed():
        path = DOCS / "experiments" / f"{name}.png"
        save_picture(find(name).figure(*load(name)), path, dpi=90)
        if path.stat().st_size > LARGE_PICTURE:
            Image.open(path).quantize(128).save(path, optimize=True)
    if not names:
        front_page()


def front_page() -> None:
    """Draw the pictures of the front page."""
    table, _ = load("jamming_sharpness")
    with style():
        fig = Figure(figsize=(4.6, 3.4), layout="constrained")
        jamming_sharpness.draw_jump(fig.subplots(), table)
        save_picture(fig, DOCS / "images" / "jump.png", dpi=140)
        fig = Figure(figsize=(4.6, 3.4), layout="constrained")
        (where, seeds), *_ = by_net(*load("stability_by_layer"))
        stability_by_layer.draw_layers(fig.subplots(), seeds, "R")
        fig.axes[0].set(title=f"Relative stability, {where}")
        fig.axes[0].legend(fontsize=8)
        save_picture(fig, DOCS / "images" / "stability_by_layer.png", dpi=140)


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    keep = commands.add_parser("findings")
    keep.add_argument("directories", nargs="+", type=Path)
    keep.add_argument("--set", dest="changed", help="fields that replaced those of the preset, as NAME=VALUE")
    keep.add_argument("--busy", action="store_true", help="the machine had other work: times are bounds")
    commands.add_parser("rows").add_argument("directories", nargs="+", type=Path)
    commands.add_parser("figures").add_argument("names", nargs="*")
    arguments = parser.parse_args()
    if arguments.command == "figures":
        figures(arguments.names)
    for directory in getattr(arguments, "directories", []):
        if arguments.command == "findings":
            findings(directory, arguments.changed, busy=arguments.busy)
        else:
            rows(directory)


if __name__ == "__main__":
    main()
