"""Drawing of a network: a box for each layer, in the order of their calls."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor, nn

from symnets.nn import SpeciesIndex

LISTS = (nn.ModuleList, nn.Sequential)
LEFT_OUT = (SpeciesIndex,)


@dataclass
class Box:
    """Consecutive layers of one kind: class, result, weights of each, and their number."""

    kind: str
    result: str
    n_params: int
    count: int = 1


def draw(model: nn.Module, inputs: object, path: Path) -> None:
    """Call the model and write the picture of its layers as SVG."""
    boxes: list[Box] = []
    handles = [layer.register_forward_hook(recorder(boxes)) for layer in layers(model)]
    model(inputs)
    for handle in handles:
        handle.remove()
    if not boxes:  # one module that calls no others
        boxes = [Box(name, " x ".join(map(str, p.shape)), p.numel()) for name, p in model.named_parameters()]
    figure = Figure(figsize=(9, 0.45 * len(boxes) + 0.2))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    for row, box in enumerate(boxes):
        times = f"{box.count} × " if box.count > 1 else ""
        style = {"boxstyle": "round,pad=0.35", "facecolor": "#dbe4f5", "edgecolor": "#4a68a8"}
        axes.text(0.2, -row, times + box.kind, ha="center", va="center", fontsize=9, bbox=style)
        weights = f"{box.n_params:,} weights" if box.n_params else ""
        axes.text(0.38, -row, box.result, ha="left", va="center", fontsize=8, family="monospace")
        axes.text(1.0, -row, weights, ha="right", va="center", fontsize=8, color="#555555")
        if row:
            axes.annotate(
                "",
                (0.2, -row + 0.28),
                (0.2, -row + 0.72),
                arrowprops={"arrowstyle": "->", "color": "#4a68a8"},
            )
    axes.set(xlim=(0, 1), ylim=(-len(boxes) + 0.4, 0.6))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "symnets"}):  # small, and always the same file
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def layers(model: nn.Module) -> list[nn.Module]:
    """Children of the model; a list is replaced by its elements."""
    found: list[nn.Module] = []
    for child in model.children():
        found += layers(child) if isinstance(child, LISTS) else [child]
    return [layer for layer in found if not isinstance(layer, LEFT_OUT)]


def recorder(boxes: list[Box]) -> Callable[[nn.Module, object, object], None]:
    """Hook that adds the layer it is called for to the boxes."""

    def record(layer: nn.Module, _: object, output: object) -> None:
        box = Box(type(layer).__name__, result(layer, output), sum(p.numel() for p in layer.parameters()))
        last = boxes[-1] if boxes else None
        if last and (last.kind, last.result, last.n_params) == (box.kind, box.result, box.n_params):
            last.count += 1
        else:
            boxes.append(box)

    return record


def result(layer: nn.Module, output: object) -> str:
    """Irreps of a layer's output, or its shape without the first axis."""
    irreps = getattr(layer, "irreps_out", None)
    if irreps is not None:
        return shortened(str(irreps))
    if isinstance(output, Tensor):
        return " x ".join(map(str, output.shape[1:])) or "a number"
    return ""


def shortened(text: str, longest: int = 52) -> str:
    """Text cut to a length."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
