"""Outputs of the layers of a network: selection of layers, selection of tensors, and forward hooks."""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.names import nearest

OutputSelector = int | str | Callable[[Any], Tensor]
"""Selects one tensor from the output of a module: an index, a key, the name of a field, or a function."""


def select_output(
    output: Any, selector: OutputSelector | None, name: str, n: int
) -> Float[Tensor, "n *shape"]:
    """One tensor of a module's output, with the n images along its first axis.

    Args:
        output: what the module returned.
        selector: which part of it; None if it is a tensor itself.
        name: of the module, for error messages.
        n: number of images in the batch.

    Raises:
        ValueError: the result is not a floating-point tensor of length n along the first axis.
    """
    if callable(selector):
        output = selector(output)
    elif selector is not None and not isinstance(output, Tensor):
        output = _part(output, selector, name)
    if not isinstance(output, Tensor):
        raise ValueError(
            f"{name}: expected a tensor, got {_contents(output)}; pass output={{{name!r}: ...}}, an "
            "index, a key or a function"
        )
    if not output.is_floating_point() or output.ndim == 0 or len(output) != n:
        raise ValueError(
            f"{name}: expected a floating-point tensor with the {n} images along the first axis, got "
            f"{output.dtype} of shape {tuple(output.shape)}; select or transpose with "
            f"output={{{name!r}: function}}"
        )
    # In float32 at least: differences of half-precision numbers would lose most digits.
    return output if output.dtype in (torch.float32, torch.float64) else output.float()


def selector_of(
    output: OutputSelector | Mapping[str, OutputSelector] | None, name: str, own: bool
) -> OutputSelector | None:
    """Output selector of a module: its entry in a mapping, or the selector of the model."""
    if isinstance(output, Mapping):
        return output.get(name)
    return output if own else None


def _part(output: Any, selector: Hashable, name: str) -> Any:
    try:
        return output[selector]
    except (KeyError, IndexError, TypeError):
        if isinstance(selector, str) and hasattr(output, selector):
            return getattr(output, selector)
        raise ValueError(f"{name}: expected output={selector!r}, got {_contents(output)}") from None


def _contents(output: Any) -> str:
    def kind(value: Any) -> str:
        shape = f" {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        return f"{type(value).__name__}{shape}"

    if isinstance(output, Mapping):
        items = [f"{key!r}: {kind(value)}" for key, value in output.items()]
        return f"{type(output).__name__} {{{', '.join(items)}}}"
    if isinstance(output, tuple | list):
        return f"{type(output).__name__} ({', '.join(f'{i}: {kind(v)}' for i, v in enumerate(output))})"
    return kind(output)


OUTPUT = "output"
"""Name of the model's own output among the layers."""

Layers = str | type[nn.Module] | Sequence[str | type[nn.Module]] | None


def select_layers(model: nn.Module, layers: Layers) -> tuple[dict[str, nn.Module], set[str]]:
    """Selects modules of a network: the modules by name, and the set of names that were given explicitly.

    A submodule that is itself called "output" is listed as ".output".

    Args:
        model: the network.
        layers: None for no submodule; "all" for all modules without children; a name as in
            `model.named_modules()`; a type, for all modules of that type; or several of these.

    Raises:
        TypeError: neither names nor types.
        ValueError: no module of that name or type.
    """
    modules = {
        f".{name}" if name == OUTPUT else name: module for name, module in model.named_modules() if name
    }
    if not isinstance(layers, str | type | Iterable | None):
        raise TypeError(f"layers: expected names, module types or 'all', got {layers!r}")
    requested = [] if layers is None else [layers] if isinstance(layers, str | type) else list(layers)
    selected: dict[str, nn.Module] = {}
    named: set[str] = set()
    for layer in requested:
        if isinstance(layer, type):
            new = {name: module for name, module in modules.items() if isinstance(module, layer)}
            if not new:
                types = sorted({type(module).__name__ for module in modules.values()})
                raise ValueError(f"layers: the model has no {layer.__name__}; it has {', '.join(types)}")
        elif layer == "all" and "all" not in modules:
            new = {name: module for name, module in modules.items() if not any(module.children())}
        elif layer == OUTPUT:
            continue  # always measured
        else:
            new = {layer: _named(modules, layer)}
            named.add(layer)
        selected |= new
    return selected, named


def _named(modules: Mapping[str, nn.Module], name: str) -> nn.Module:
    if not isinstance(name, str):
        raise TypeError(f"layers: expected names, module types or 'all', got {name!r}")
    if name in modules:
        return modules[name]
    raise ValueError(
        f"layers: the model has no module {name!r}; the nearest names are "
        f"{', '.join(nearest(name, modules, n=3)) or '(none)'}"
    )


OnFeatures = Callable[[str, Float[Tensor, "n features"]], None]
"""Callback that takes the name and the flattened output of a layer."""


class Features:
    """Forward passes that call back with the output of each selected layer, as soon as it is computed.

    The callback is immediate, because an in-place ReLU overwrites the output of the layer before it. A layer
    that is called several times has the names name, name#2, name#3, ... Hooks are removed at the end of the
    `with` block.

    Args:
        model: any module.
        layers: modules by name.
        named: names of layers that must be called in the forward pass.
        output: selectors for outputs that are not tensors.

    Raises:
        ValueError: a selector for a layer that is not measured.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        named: Collection[str],
        output: OutputSelector | Mapping[str, OutputSelector] | None,
    ) -> None:
        if isinstance(output, Mapping) and (unknown := set(output) - {OUTPUT, *layers}):
            raise ValueError(f"output: expected names of measured layers, got {', '.join(sorted(unknown))}")
        self.model, self.layers, self.named, self.output = model, layers, named, output
        self.names: tuple[str, ...] = ()
        self._calls: Counter[str] = Counter()
        self._order: list[str] = []
        self._on_features: OnFeatures | None = None
        self._n = 0
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        for name, module in self.layers.items():
            self._hooks.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def forward(self, images: Tensor, on_features: OnFeatures) -> None:
        """One forward pass; calls `on_features` for each layer in order of execution, the output last.

        Raises:
            ValueError: a layer in `named` is never called, or the calls differ between passes.
        """
        self._calls.clear()
        self._order, self._on_features, self._n = [], on_features, len(images)
        self._emit(OUTPUT, self.model(images), own=True)
        if missing := [name for name in self.named if not self._calls[name]]:
            raise ValueError(f"layers: {', '.join(missing)} not called in the forward pass")
        if self.names and self.names != tuple(self._order):
            raise ValueError(
                f"layers: expected the same calls in every pass, got {self._order} after {list(self.names)}"
            )
        self.names = tuple(self._order)

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            self._emit(name, output, own=False)

        return hook

    def _emit(self, name: str, output: Any, own: bool) -> None:
        assert self._on_features is not None
        self._calls[name] += 1
        count = self._calls[name]
        features = select_output(output, selector_of(self.output, name, own), name, self._n)
        name = name if count == 1 else f"{name}#{count}"
        self._order.append(name)
        self._on_features(
            name, features.detach().flatten(1) if features.ndim > 1 else features.detach()[:, None]
        )


@torch.no_grad()
def slices(features: Tensor) -> tuple[Tensor, ...]:
    """Chunks of rows for sums in float64: a few MB on a CPU, to fit into its cache, up to 256 MB on a GPU."""
    limit = 2**20 if features.device.type == "cpu" else 2**25
    return features.split(max(1, limit // max(features.shape[1], 1)))
