"""Architectures by name: classes of `symnets.models`, recognised by the arguments of constructors."""

import inspect
from functools import cache
from typing import Any

from torch import nn

from symnets.models._energy_model import EnergyModel
from symnets.models._import_path import import_object
from symnets.names import did_you_mean

FROM_DATA = ("species", "mean_neighbors", "shift", "scale")
"""Arguments of an energy model that training takes from its data, not from its configuration file."""


@cache
def architectures() -> dict[str, type[nn.Module]]:
    """Energy models of `symnets.models` by name: classes that take `species` first, and `cutoff`."""
    return {name: cls for name, cls in _public_classes().items() if is_energy_model(cls)}


@cache
def image_net_classes() -> dict[str, type[nn.Module]]:
    """Image nets of `symnets.models` by name: classes that take `shape` and `n_classes` first."""
    return {name: cls for name, cls in _public_classes().items() if is_image_net(cls)}


def find_architecture(name: str) -> type[nn.Module]:
    """Find the class of an energy model by its name.

    Args:
        name: one of `architectures`, or the import path of another class, such as "mine.nets:MyNet", whose
            module is imported.

    Raises:
        ValueError: there is no such class (the message suggests the nearest name), or it is no energy model.
        ImportError: the module imports something that is not there.
    """
    if ":" in name:
        cls = import_object(name)
        if not is_energy_model(cls):
            raise ValueError(
                f"{name}: expected a torch.nn.Module with forward(graph), or an EnergyModel with "
                "features(graph, species), whose constructor takes species first, and cutoff"
            )
        return cls
    if name not in (known := architectures()):
        raise ValueError(
            f"unknown architecture {name!r}; {did_you_mean(name, known)}; an architecture of your own is "
            "named by its import path, such as mine.nets:MyNet"
        )
    return known[name]


def is_energy_model(cls: Any) -> bool:
    """Whether a class is an architecture: a module whose constructor takes `species` first, and `cutoff`.

    It defines `forward`, or `features`, from which the `forward` of `EnergyModel` computes energies.
    """
    arguments = _arguments(cls)
    if arguments[:1] != ["species"] or "cutoff" not in arguments:
        return False
    if cls.forward is EnergyModel.forward:
        return cls.features is not EnergyModel.features
    return cls.forward is not nn.Module.forward


def is_image_net(cls: Any) -> bool:
    """Whether a class is a module whose constructor takes `shape` and `n_classes` first."""
    return _arguments(cls)[:2] == ["shape", "n_classes"]


def _arguments(cls: Any) -> list[str]:
    """Names of the arguments of a module's constructor; none for other objects."""
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        return []
    return list(inspect.signature(cls).parameters)


def _public_classes() -> dict[str, Any]:
    """Public objects of `symnets.models` whose names begin with a capital letter, by name."""
    import symnets.models as package  # at the top of the file this import would be circular

    return {name: getattr(package, name) for name in package.__all__ if name[0].isupper()}
