"""`symnets models`: published foundation models, and which of them are on this machine."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import tyro
from rich import box
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from symnets.models import FOUNDATION_MODELS, FoundationModel
from symnets.names import did_you_mean


@dataclass(frozen=True)
class Models:
    """List the published foundation models that symnets runs, or show one in full.

    Commands that take a MODEL and `symnets.models.foundation_model` accept their names. Weights are kept in
    the cache. Those of Nequix are downloaded at the first use, and those of SevenNet are then converted from
    its package; those of MACE you convert once, as its entry says. For architectures to train from scratch,
    see `symnets list models`.

    Example:
        symnets models
        symnets models nequix-oam-1
    """

    name: Annotated[Positional[str | None], tyro.conf.arg(metavar="[NAME]")] = None
    """Model to show in full; without a name all are listed."""
    json: bool = False
    """Print JSON alone, for other programs to read."""

    def run(self) -> None:
        """Print the table, or one model."""
        if self.name is not None and self.name not in FOUNDATION_MODELS:
            raise ValueError(
                f"unknown foundation model {self.name!r}; {did_you_mean(self.name, FOUNDATION_MODELS)}"
            )
        models = list(FOUNDATION_MODELS.values()) if self.name is None else [FOUNDATION_MODELS[self.name]]
        if self.json:
            held = [_content(model) for model in models]
            print(json.dumps(held if self.name is None else held[0], indent=2, ensure_ascii=False))
            return
        console = Console()
        if self.name is None:
            # Without a terminal the width is that of the table, so that a model is always one line.
            width = console.width if console.is_terminal else 200
            Console(width=width).print(_table(models), markup=False)
            console.print("symnets models NAME shows one in full, with citation", highlight=False)
            return
        table = Table(title=self.name, title_justify="left", show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in _rows(models[0]):
            table.add_row(name, value)
        console.print(table, markup=False)


def _content(model: FoundationModel) -> dict[str, Any]:
    """All facts about a model, as values for JSON."""
    from ase.data import chemical_symbols

    content = asdict(model) | {"species": [chemical_symbols[number] for number in model.species]}
    del content["published"]
    if model.published is not None:
        content |= {"url": model.published.url, "sha256": model.published.sha256}
    return content | {"file": model.file, "cached": str(model.cached) if model.cached else None}


def _table(models: list[FoundationModel]) -> Table:
    """Table with one line for each model."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("name", style="cyan", no_wrap=True)
    for title in ("elements", "trained on", "theory", "licence", "MB", "weights", "cached"):
        number = title in ("elements", "MB", "weights")
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    for model in models:
        table.add_row(
            model.name,
            str(len(model.species)),
            model.training_set,
            model.theory,
            model.license,
            f"{model.megabytes:.1f}",
            f"{model.n_weights / 1e6:.2f} M",
            "yes" if model.cached else "no",
        )
    return table


def _rows(model: FoundationModel) -> list[tuple[str, str]]:
    """All facts about a model, as rows (name, value) of text."""
    content = _content(model)
    return [
        ("architecture", model.family),
        ("elements", f"{len(model.species)}: {' '.join(content['species'])}"),
        ("trained on", model.training_set),
        ("level of theory", model.theory),
        ("licence", model.license),
        ("cite", model.citation),
        ("weights", f"{model.n_weights:,}"),
        ("size", f"{model.megabytes:.2f} MB"),
        ("obtained", model.obtained),
        *([("from", model.source)] if model.source else []),
        *([("from", model.published.url), ("sha256", model.published.sha256)] if model.published else []),
        ("cached", content["cached"] or f"no; it will be {model.places()[-1]}"),
    ]
