"""Findings, rows and figures of the experiments, as the documentation shows them.

    symnets sweep NAME --preset PRESET --output RESULTS/NAME   # each experiment, alone on the machine
    python benchmarks/experiments.py findings RESULTS     # all findings -> results/experiments.json
    python benchmarks/experiments.py rows RESULTS/NAME    # a table of runs -> results/experiments/NAME.*
    python benchmarks/experiments.py figures              # committed rows -> docs/experiments, docs/images

`findings` collects RESULTS/*/findings.json, with the machine, and the versions and commits that the runs were
made with. `rows` keeps a table of runs as CSV, and as JSON the arrays that its figure and its findings read,
both rounded to seven significant digits. `figures` draws the figures of all experiments of which rows are
committed, and those of the front page. `findings` needs the extra `bench`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from symnets.estimates import by_net
from symnets.experiments import jamming_sharpness, stability_by_layer
from symnets.report import save_picture, style
from symnets.sweeps import Arrays, Table, find

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "experiments.json"
ROWS = HERE / "results" / "experiments"
DOCS = HERE.parent / "docs"
PROVENANCE = ["experiment", "error", "seconds", "commit", "code_hash"]


def findings(results: Path) -> None:
    """Write all findings below a directory to results/experiments.json."""
    collected = []
    for path in sorted(results.glob("*/findings.json")):
        summary = json.loads(path.read_text("utf-8"))
        table = Table.load(path.parent, summary["experiment"])
        summary = {k: v for k, v in summary.items() if k not in ("about", "seconds")}
        collected.append(
            summary
            | {
                "preset": preset_of(summary["experiment"], table),
                "core_seconds": round(float(table["seconds"].sum()), 1),
                "commits": sorted({str(commit)[:9] for commit in table["commit"]}),
            }
        )
    from machine import machine

    document = {"question": __doc__, "machine": machine(), "experiments": collected}
    RESULTS.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for summary in collected:
        for finding in summary["findings"]:
            error = "" if finding["error"] is None else f" ± {finding['error']:.2g}"
            mark = "yes" if finding["agrees"] else "NO"
            name = summary["experiment"]
            print(f"{name}: {finding['quantity']}: {finding['measured']:.4g}{error}: {mark}")


def preset_of(name: str, table: pd.DataFrame) -> str:
    """The preset with as many runs as the table, or "other"."""
    presets = find(name).PRESETS
    return next((preset for preset, configs in presets.items() if len(configs) == len(table)), "other")


def rows(directory: Path) -> None:
    """Keep the runs of one experiment: NAME.csv, and in NAME.json the arrays that are read."""
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
    if used:
        kept = {run: {key: _plain(array) for key, array in found.items()} for run, found in used.items()}
        (ROWS / f"{name}.json").write_text(json.dumps(kept, separators=(",", ":")) + "\n", "utf-8")


def _plain(array: np.ndarray) -> list:
    if array.dtype.kind == "f":
        array = np.array([float(f"{value:.7g}") for value in array.ravel()]).reshape(array.shape)
    return array.tolist()


def committed() -> list[str]:
    """Experiments of which rows are committed."""
    return sorted(path.stem for path in ROWS.glob("*.csv"))


def load(name: str) -> tuple[pd.DataFrame, Arrays]:
    """The committed table of an experiment, and its arrays."""
    table = pd.read_csv(ROWS / f"{name}.csv", index_col="hash", dtype={"hash": str})
    path = ROWS / f"{name}.json"
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return table, lambda run: {key: np.array(value) for key, value in kept[run].items()}


def figures() -> None:
    """Draw docs/experiments/NAME.png of the committed rows, and the pictures of the front page."""
    for name in committed():
        save_picture(find(name).figure(*load(name)), DOCS / "experiments" / f"{name}.png", dpi=90)
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


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["findings", directory]:
            findings(Path(directory))
        case ["rows", directory]:
            rows(Path(directory))
        case ["figures"]:
            figures()
        case _:
            sys.exit(__doc__)
