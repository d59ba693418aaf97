"""Output of `symnets stability`: a table for the terminal, and numbers as JSON."""

import math
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from symnets.diffeo import SineField
from symnets.observables import LayerEstimates, Stability


def field_numbers(field: SineField, temperature: float) -> dict[str, Any]:
    """Parameters of the deformations, as JSON."""
    temperatures = list(field.temperature_range()) if field.cutoff > 1 else None
    return {
        "shape": list(field.shape or ()),
        "cutoff": field.cutoff,
        "rule": field.rule,
        "temperature": temperature,
        "temperature_range": temperatures,
        "delta": field.typical_displacement(temperature),
        "folding_probability": field.folding_probability(temperature),
    }


def numbers(stability: Stability) -> dict[str, Any]:
    """A measurement as JSON; undefined numbers are null."""

    def cell(estimate: LayerEstimates, row: int) -> dict[str, float | None]:
        ends = {"value": estimate.value[row], "low": estimate.low[row], "high": estimate.high[row]}
        return {name: float(value) if math.isfinite(value) else None for name, value in ends.items()}

    estimates = (("D", stability.D), ("G", stability.G), ("R", stability.R))
    layers = [
        {"layer": layer} | {name: cell(estimate, row) for name, estimate in estimates}
        for row, layer in enumerate(stability.layers)
    ]
    options = ("n_images", "n_draws", "noise_norm", "noise", "average", "batch_norm", "confidence")
    return {name: getattr(stability, name) for name in options} | {
        "layers": layers,
        "notes": list(stability.notes),
    }


def batch_norm_note(net: nn.Module, stability: Stability) -> tuple[str, ...]:
    """A note if the batch normalisations of network and baseline use different statistics."""
    if stability.batch_norm == "batch" or not any(isinstance(module, _BatchNorm) for module in net.modules()):
        return ()
    return (
        "batch normalisations use running statistics, but with initial weights those of each batch. This "
        "alone may change R by a factor of several; --batch-norm batch uses those of each batch for both",
    )


def print_stability(stability: Stability, initial: Stability | None, title: str, folder: Path) -> None:
    """Prints the table, the notes and the paths of the files."""
    console = Console()
    head = (
        f"{title}: {stability.n_images:,} images x {stability.n_draws} draws, "
        f"δ = {stability.delta:.3g} px, T = {stability.temperature:.3g}"
    )
    console.print(head, style="italic", soft_wrap=True, highlight=False, markup=False)
    console.print(stability_table(stability, initial))
    for note in dict.fromkeys([*stability.notes, *(initial.notes if initial else ())]):
        console.print(Text(note, style="yellow"), soft_wrap=True)
    console.print(f"{folder}/stability.json, layers.png, samples.png", soft_wrap=True, highlight=False)


def stability_table(stability: Stability, initial: Stability | None = None) -> Table:
    """Table of D, G and R of each layer with confidence intervals, and of the R of a baseline."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    columns = [("D", stability.D), ("G", stability.G), ("R", stability.R)]
    if initial is not None:
        columns.append(("R, initial weights", initial.R))
    for name, _ in columns:
        table.add_column(name, justify="right")
    for row, layer in enumerate(stability.layers):
        table.add_row(Text(layer), *(_cell(estimate, row) for _, estimate in columns))
    return table


def _cell(estimate: LayerEstimates, row: int) -> str:
    value, low, high = (end[row] for end in (estimate.value, estimate.low, estimate.high))
    if math.isnan(value):
        return "undefined"
    return f"{value:.3g}" if math.isnan(low) else f"{value:.3g} {low:.3g}–{high:.3g}"
