"""What `symnets stability` tells: a table for a terminal, and numbers as plain JSON."""

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
    """The deformations in numbers."""
    usual = list(field.temperature_range()) if field.cutoff > 1 else None
    return {
        "shape": list(field.shape or ()),
        "cutoff": field.cutoff,
        "rule": field.rule,
        "temperature": temperature,
        "temperature_range": usual,
        "delta": field.typical_displacement(temperature),
        "folding_probability": field.folding_probability(temperature),
    }


def numbers(found: Stability) -> dict[str, Any]:
    """A measurement as plain JSON; what is undefined is null."""

    def cell(estimate: LayerEstimates, row: int) -> dict[str, float | None]:
        ends = {"value": estimate.value[row], "low": estimate.low[row], "high": estimate.high[row]}
        return {name: float(value) if math.isfinite(value) else None for name, value in ends.items()}

    named = (("D", found.D), ("G", found.G), ("R", found.R))
    layers = [
        {"layer": layer} | {name: cell(estimate, row) for name, estimate in named}
        for row, layer in enumerate(found.layers)
    ]
    said = ("n_images", "n_draws", "noise_norm", "noise", "average", "batch_norm", "confidence")
    return {name: getattr(found, name) for name in said} | {"layers": layers, "notes": list(found.notes)}


def unlike(net: nn.Module, found: Stability) -> tuple[str, ...]:
    """A sentence for a baseline whose batch normalisations took other statistics than the network's."""
    if found.batch_norm == "batch" or not any(isinstance(module, _BatchNorm) for module in net.modules()):
        return ()
    return (
        "batch normalisations took running statistics, but with initial weights those of each batch, which "
        "alone may change R several times over; --batch-norm batch compares like with like",
    )


def print_stability(found: Stability, initial: Stability | None, title: str, folder: Path) -> None:
    console = Console()
    head = (
        f"{title}: {found.n_images:,} images x {found.n_draws}, δ = {found.delta:.3g} px, "
        f"T = {found.temperature:.3g}"
    )
    console.print(head, style="italic", soft_wrap=True, highlight=False, markup=False)
    console.print(stability_table(found, initial))
    for note in dict.fromkeys([*found.notes, *(initial.notes if initial else ())]):
        console.print(Text(note, style="yellow"), soft_wrap=True)
    console.print(f"{folder}/stability.json, layers.png, samples.png", soft_wrap=True, highlight=False)


def stability_table(found: Stability, initial: Stability | None = None) -> Table:
    """D, G and R of each layer with their intervals, for a terminal; of a baseline R alone."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    columns = [("D", found.D), ("G", found.G), ("R", found.R)]
    if initial is not None:
        columns.append(("R, initial weights", initial.R))
    for name, _ in columns:
        table.add_column(name, justify="right")
    for row, layer in enumerate(found.layers):
        table.add_row(Text(layer), *(_cell(estimate, row) for _, estimate in columns))
    return table


def _cell(estimate: LayerEstimates, row: int) -> str:
    value, low, high = (end[row] for end in (estimate.value, estimate.low, estimate.high))
    if math.isnan(value):
        return "undefined"
    return f"{value:.3g}" if math.isnan(low) else f"{value:.3g} {low:.3g}–{high:.3g}"
