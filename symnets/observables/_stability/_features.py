"""The one tensor that is measured of what a module returns.

Which modules of a network are measured.

Features: the outputs of layers, compared with those of the images as they were.
"""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.names import nearest

OutputSelector = int | str | Callable[[Any], Tensor]
"""An index, a key, the name of a field, or a function of what a module returns."""


def select_output(found: Any, choice: OutputSelector | None, name: str, n: int) -> Float[Tensor, "n *shape"]:
    """Outputs of n images, one tensor with the images along its first axis.

    Args:
        found: what a module returned.
        choice: which part of it; None if it is a tensor itself.
        name: of the module, for errors.
        n: images that went in.

    Raises:
        ValueError: it is not a tensor of floating numbers, n along the first axis.
    """
    if callable(choice):
        found = choice(found)
    elif choice is not None and not isinstance(found, Tensor):
        found = _part(found, choice, name)
    if not isinstance(found, Tensor):
        raise ValueError(
            f"{name}: expected a tensor, got {_contents(found)}; choose with output={{{name!r}: ...}}, an "
            "index, a key or a function"
        )
    if not found.is_floating_point() or found.ndim == 0 or len(found) != n:
        raise ValueError(
            f"{name}: expected floating numbers with the {n} images along the first axis, got {found.dtype} "
            f"of shape {tuple(found.shape)}; choose or transpose with output={{{name!r}: function}}"
        )
    # Differences of half-precision numbers would lose what little they have.
    return found if found.dtype in (torch.float32, torch.float64) else found.float()


def selector_of(
    output: OutputSelector | Mapping[str, OutputSelector] | None, name: str, own: bool
) -> OutputSelector | None:
    """The choice for a module: of a mapping its entry, else what is said for the model's own output."""
    if isinstance(output, Mapping):
        return output.get(name)
    return output if own else None


def _part(found: Any, choice: Hashable, name: str) -> Any:
    try:
        return found[choice]
    except (KeyError, IndexError, TypeError):
        if isinstance(choice, str) and hasattr(found, choice):
            return getattr(found, choice)
        raise ValueError(f"{name}: output={choice!r} is not there; got {_contents(found)}") from None


def _contents(found: Any) -> str:
    def kind(value: Any) -> str:
        shape = f" {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        return f"{type(value).__name__}{shape}"

    if isinstance(found, Mapping):
        items = [f"{key!r}: {kind(value)}" for key, value in found.items()]
        return f"{type(found).__name__} {{{', '.join(items)}}}"
    if isinstance(found, tuple | list):
        return f"{type(found).__name__} ({', '.join(f'{i}: {kind(v)}' for i, v in enumerate(found))})"
    return kind(found)


OUTPUT = "output"
"""Name under which the output of the whole model is listed."""

Layers = str | type[nn.Module] | Sequence[str | type[nn.Module]] | None


def select_layers(model: nn.Module, layers: Layers) -> tuple[dict[str, nn.Module], set[str]]:
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
    raise ValueError(
        f"layers: the model has no module {name!r}; the nearest names are "
        f"{', '.join(nearest(name, modules, n=3)) or '(none)'}"
    )


Seen = Callable[[str, Float[Tensor, "n features"]], None]
"""What is told the name and the flattened output of a layer."""


class Features:
    """Forward passes in which every output of the chosen layers is shown, as soon as it is there.

    Shown at once, because a ReLU that works in place overwrites the layer before it. A layer that is called
    several times is shown under name, name#2, name#3, ... Its hooks live as long as the `with` block.

    Args:
        model: any module.
        layers: modules by name.
        named: names of layers that must be there.
        output: which part of outputs that are no tensors.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        named: Collection[str],
        output: OutputSelector | Mapping[str, OutputSelector] | None,
    ) -> None:
        if isinstance(output, Mapping) and (unknown := set(output) - {OUTPUT, *layers}):
            raise ValueError(
                f"output: {', '.join(sorted(unknown))} is not among the layers that are measured"
            )
        self.model, self.layers, self.named, self.output = model, layers, named, output
        self.names: tuple[str, ...] = ()
        self._calls: Counter[str] = Counter()
        self._order: list[str] = []
        self._seen: Seen | None = None
        self._n = 0
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        for name, module in self.layers.items():
            self._hooks.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def show(self, images: Tensor, seen: Seen) -> None:
        """One forward pass; `seen` is called for every layer in the order of execution, the output last.

        Raises:
            ValueError: a layer that was named is never called, or calls differ from pass to pass.
        """
        self._calls.clear()
        self._order, self._seen, self._n = [], seen, len(images)
        found = self.model(images)
        self._show(OUTPUT, found, own=True)
        if missing := [name for name in self.named if not self._calls[name]]:
            raise ValueError(f"layers: {', '.join(missing)} is never called in the forward pass")
        if self.names and self.names != tuple(self._order):
            raise ValueError(
                f"layers: expected the same calls in every pass, got {self._order} after {list(self.names)}"
            )
        self.names = tuple(self._order)

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, found: Any) -> None:
            self._show(name, found, own=False)

        return hook

    def _show(self, name: str, found: Any, own: bool) -> None:
        assert self._seen is not None
        self._calls[name] += 1
        count = self._calls[name]
        features = select_output(found, selector_of(self.output, name, own), name, self._n)
        name = name if count == 1 else f"{name}#{count}"
        self._order.append(name)
        self._seen(name, features.detach().flatten(1) if features.ndim > 1 else features.detach()[:, None])


@torch.no_grad()
def slices(features: Tensor) -> tuple[Tensor, ...]:
    """Parts of some rows each, small enough to be copied into float64: a few MB on a CPU, where they should
    fit into its cache, and up to 256 MB on a GPU, where each costs calls.
    """
    limit = 2**20 if features.device.type == "cpu" else 2**25
    return features.split(max(1, limit // max(features.shape[1], 1)))
