"""`symnets list`: models, data sets, experiments and observables by name, with one line each."""

import importlib
import inspect
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.text import Text
from tyro.conf import Positional

Lines = dict[str, str]
"""A description in one line, by name."""


@dataclass(frozen=True)
class List:
    """List the models, data sets, experiments or observables of symnets, with one line each.

    Experiments are listed by the talks whose claims they measure.

    Example:
        symnets list models
        symnets list experiments
    """

    kind: Annotated[
        Positional[Literal["models", "datasets", "experiments", "observables"]],
        tyro.conf.arg(metavar="{models,datasets,experiments,observables}"),
    ]
    """What to list."""

    def run(self) -> None:
        """Print the sections of the list, one name per line."""
        sections = {
            "models": _models,
            "datasets": _datasets,
            "experiments": _experiments,
            "observables": _observables,
        }
        console = Console()
        for number, (title, lines) in enumerate(sections[self.kind]().items()):
            console.print(Text("\n" * (number > 0) + title, style="bold"), soft_wrap=True)
            width = max(map(len, lines))
            for name, line in lines.items():
                console.print(Text.assemble("  ", (f"{name:<{width}}", "cyan"), f"  {line}"), soft_wrap=True)


def _models() -> dict[str, Lines]:
    from torch import nn

    from symnets.models import FOUNDATION_MODELS, IMAGE_NETS

    package = importlib.import_module("symnets.models")
    classes = [name for name in package.__all__ if inspect.isclass(getattr(package, name))]
    networks = [name for name in classes if issubclass(getattr(package, name), nn.Module)]
    return {
        "Networks and wrappers: from symnets.models import NAME": _first_lines("symnets.models", networks),
        'Networks for images: symnets.models.image_net("NAME", shape)': dict(IMAGE_NETS),
        "Published weights: symnets models NAME": {
            model.name: f"trained on {model.training_set}" for model in FOUNDATION_MODELS.values()
        },
    }


def _datasets() -> dict[str, Lines]:
    from symnets.data import IMAGE_CLASSES, POINT_TASKS

    images = {"digits": "10 classes of handwritten digits, 8 x 8 pixels, part of scikit-learn"}
    images |= {
        name: f"{len(classes)} classes: {', '.join(classes)}" for name, classes in IMAGE_CLASSES.items()
    }
    points = ["random_task", "binary_task", "decision_rule", "gaussian_field"]
    points += ["sphere_points", "gaussian_cloud", "uniform_cloud"]
    structures = ["read_structures", "sample_trajectory"]
    return {
        'Images: symnets.data.load_images("NAME")': images,
        'Tasks of points: symnets.data.binary_task("NAME")': dict(POINT_TASKS),
        "Points and tasks: from symnets.data import NAME": _first_lines("symnets.data", points),
        "Structures: from symnets.data import NAME": _first_lines("symnets.data", structures),
    }


def _experiments() -> dict[str, Lines]:
    from symnets.sweeps import experiments, read_talks

    lines, talks = experiments(), read_talks()
    sections = {f"{title}: symnets sweep NAME": talks.of(talk) for talk, title in talks.titles.items()}
    sections["Other experiments: symnets sweep NAME"] = [
        name for name in lines if not any(name in names for names in sections.values())
    ]
    return {title: {name: lines[name] for name in names} for title, names in sections.items() if names}


def _observables() -> dict[str, Lines]:
    sections = {}
    for path in ("symnets.observables", "symnets.observables.curvature"):
        package = importlib.import_module(path)
        observables = [name for name in package.__all__ if _is_observable(getattr(package, name))]
        sections[f"from {path} import NAME"] = _first_lines(path, observables)
    return sections


def _is_observable(member: Any) -> bool:
    """Whether this is a function that returns a record of `symnets.observables`, or an array for a model."""
    if not inspect.isfunction(member):
        return False
    signature = inspect.signature(member)
    returned = getattr(signature.return_annotation, "__module__", "")
    return returned.startswith("symnets.observables") or (
        returned == "jaxtyping" and next(iter(signature.parameters)) == "model"
    )


def _first_lines(path: str, names: list[str]) -> Lines:
    """The first line of the docstring of each name of a package."""
    package = importlib.import_module(path)
    return {name: (inspect.getdoc(getattr(package, name)) or "").partition("\n")[0] for name in names}
