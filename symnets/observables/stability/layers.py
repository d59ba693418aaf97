"""Which modules of a network are measured."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from torch import nn

OUTPUT = "output"
"""Name under which the output of the whole model is listed."""

Layers = str | type[nn.Module] | Sequence[str | type[nn.Module]] | None


def chosen_layers(model: nn.Module, layers: Layers) -> tuple[dict[str, nn.Module], set[str]]:
    """Modules by name, and those names that were asked for one by one.

    A submodule that is itself called "output" is listed as ".output".

    Args:
        model: whose submodules are meant.
        layers: None for none; "all" for those without children; a name as in `model.named_modules()`; a
            type, for all modules of it; or several of these.

    Raises:
        TypeError: neither names nor types.
        ValueError: there is no module of this name, or of this type.
    """
    modules = {
        f".{name}" if name == OUTPUT else name: module for name, module in model.named_modules() if name
    }
    if not isinstance(layers, str | type | Iterable | None):
        raise TypeError(f"layers: expected names, module types or 'all', got {layers!r}")
    wanted = [] if layers is None else [layers] if isinstance(layers, str | type) else list(layers)
    found: dict[str, nn.Module] = {}
    named: set[str] = set()
    for layer in wanted:
        if isinstance(layer, type):
            mine = {name: module for name, module in modules.items() if isinstance(module, layer)}
            if not mine:
                types = sorted({type(module).__name__ for module in modules.values()})
                raise ValueError(f"layers: the model has no {layer.__name__}; it has {', '.join(types)}")
        elif layer == "all" and "all" not in modules:
            mine = {name: module for name, module in modules.items() if not any(module.children())}
        elif layer == OUTPUT:
            continue  # always measured
        else:
            mine = {layer: _named(modules, layer)}
            named.add(layer)
        found |= mine
    return found, named


def _named(modules: Mapping[str, nn.Module], name: str) -> nn.Module:
    if not isinstance(name, str):
        raise TypeError(f"layers: expected names, module types or 'all', got {name!r}")
    if name in modules:
        return modules[name]
    near = difflib.get_close_matches(name, modules, n=3, cutoff=0.5) or list(modules)[:10]
    raise ValueError(
        f"layers: the model has no module {name!r}; the nearest names are {', '.join(near) or '(none)'}"
    )
