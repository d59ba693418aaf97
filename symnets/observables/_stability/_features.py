"""Outputs of the layers of a network: selection of layers, selection of tensors, and forward hooks."""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn.utils.parametrize import is_parametrized

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
        name: name of the module, for error messages.
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
    """Output selector of a module: its entry in a mapping; a single selector applies to the model alone.

    Args:
        output: one selector for the output of the model, or selectors by name of a layer.
        name: name of the module.
        own: whether the module is the model itself.
    """
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
"""Layers to select: "all", names, types of modules, or None; see `select_layers`."""


def select_layers(model: nn.Module, layers: Layers) -> tuple[dict[str, nn.Module], set[str]]:
    """Selected modules of a network by name, and the set of those names that were given explicitly.

    A submodule that is itself called "output" is listed as ".output". Names in a compiled network are those
    before compilation. A module with several names is selected once, under the name that was given or else
    the first one.

    Args:
        model: the network.
        layers: None for no submodule; "all" for all modules without children; a name as in
            `model.named_modules()`; a type, for all modules of that type; or several of these. Modules that
            compute parameters (`torch.nn.utils.parametrize`) are selected by name only, and do not count as
            children.

    Raises:
        TypeError: neither names nor types.
        ValueError: no module of that name or type, or a name of a module inside of TorchScript.
    """
    names = module_names(model)
    modules = {name: names.modules[name] for name in names.layers}
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
                scripted = any(isinstance(module, ScriptModule) for module in modules.values())
                raise ValueError(
                    f"layers: the model has no {layer.__name__}; it has {', '.join(types)}"
                    + (f", modules of TorchScript, {NO_HOOKS}" if scripted else "")
                )
        elif layer == "all" and "all" not in names.modules:
            new = {name: module for name, module in modules.items() if _is_leaf(module)}
        elif layer == OUTPUT:
            continue  # always measured
        else:
            new = {layer: _named(names.modules, layer)}
            if isinstance(new[layer], ScriptModule):
                raise ValueError(f"layers: {layer} is a module of TorchScript, {NO_HOOKS}")
            named.add(layer)
        known = {id(module) for module in selected.values()}
        selected |= {name: module for name, module in new.items() if id(module) not in known}
    return selected, named & selected.keys()


NO_HOOKS = "whose layers cannot be measured; pass the network from which it was traced or scripted"


class ModuleNames(NamedTuple):
    """Names of the modules of a network."""

    modules: dict[str, nn.Module]
    """Modules by name, under each of their names, without the `_orig_mod` that compilation adds to names."""
    layers: list[str]
    """The first name of each module that is not part of a parametrisation."""
    aliases: dict[str, str]
    """For each further name of a module, the first name of the same module."""


def module_names(model: nn.Module) -> ModuleNames:
    """All names of the modules of a network; a shared module has several."""
    modules: dict[str, nn.Module] = {}
    computed: list[str] = []  # modules that compute parameters
    for path, module in model.named_modules(remove_duplicate=False):
        name = ".".join(word for word in path.split(".") if word != "_orig_mod")
        if name:
            modules[f".{name}" if name == OUTPUT else name] = module
        if is_parametrized(module):
            computed.append(f"{name}.parametrizations".lstrip("."))
    first: dict[int, str] = {}
    layers, aliases = [], {}
    for name, module in modules.items():
        if id(module) in first:
            aliases[name] = first[id(module)]
            continue
        first[id(module)] = name
        if not any(name == path or name.startswith(f"{path}.") for path in computed):
            layers.append(name)
    return ModuleNames(modules, layers, aliases)


def _is_leaf(module: nn.Module) -> bool:
    """Whether a module can be called and has no children, except those that compute its parameters."""
    if isinstance(module, nn.ModuleList | nn.ModuleDict | nn.ParameterList | nn.ParameterDict):
        return False
    parametrised = is_parametrized(module)
    children = [name for name, _ in module.named_children()]
    return all(parametrised and name == "parametrizations" for name in children)


def _named(modules: Mapping[str, nn.Module], name: str) -> nn.Module:
    if not isinstance(name, str):
        raise TypeError(f"layers: expected names, module types or 'all', got {name!r}")
    plain = ".".join(word for word in name.split(".") if word != "_orig_mod")
    if plain in modules:
        return modules[plain]
    raise ValueError(
        f"layers: the model has no module {name!r}; the nearest names are "
        f"{', '.join(nearest(name, modules, n=3)) or '(none)'}"
    )


OnFeatures = Callable[[str, Float[Tensor, "n features"]], None]
"""Callback that takes the name and the flattened output of a layer."""


class Features:
    """Forward passes that pass the output of each selected layer to a callback as soon as it is computed.

    The callback is immediate, because an in-place ReLU overwrites the output of the layer before it. A layer
    that is called several times has the names name, name#2, name#3, ... Compiled modules are executed without
    compilation, because compiled code may skip hooks. Hooks are removed at the end of the `with` block.

    Args:
        model: any module.
        layers: modules by name.
        named: names of layers that must be called in the forward pass, and have a tensor as output; others
            are left out, see `notes`.
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
        self.required = {*named, *(output if isinstance(output, Mapping) else ())}
        self.names: tuple[str, ...] = ()
        self._calls: Counter[str] = Counter()
        self._without_rows: dict[str, None] = {}  # in order
        self._order: list[str] = []
        self._on_features: OnFeatures | None = None
        self._n = 0
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        for name, module in self.layers.items():
            if not isinstance(module, ScriptModule):
                self._exit.callback(module.register_forward_hook(self._hook(name)).remove)
        if self.layers and "torch._dynamo" in sys.modules:
            self._exit.enter_context(torch.compiler.set_stance("force_eager"))
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def forward(self, images: Tensor, on_features: OnFeatures) -> None:
        """One forward pass; calls `on_features` for each layer in order of execution, the output last.

        Raises:
            ValueError: a layer in `named` is never called, or the calls differ between passes.
        """
        self._calls.clear()
        self._order, self._on_features, self._n = [], on_features, len(images)
        self._emit(OUTPUT, self.model(images), own=True)
        if missing := [name for name in self.named if not self._calls[name]]:
            raise ValueError(
                f"layers: {', '.join(missing)} not called in the forward pass; a layer is measured if the "
                "network calls it as layer(x)"
            )
        if self.names and self.names != tuple(self._order):
            raise ValueError(
                f"layers: expected the same calls in every pass, got {self._order} after {list(self.names)}"
            )
        self.names = tuple(self._order)

    def notes(self) -> tuple[str, ...]:
        """Sentences on layers that were selected but are not measured, after a forward pass."""
        scripted = [name for name, module in self.layers.items() if isinstance(module, ScriptModule)]
        silent = [name for name in self.layers if not self._calls[name] and name not in scripted]
        notes = []
        if scripted:
            notes.append(f"not measured: {abbreviated(scripted)}; the network is in TorchScript, {NO_HOOKS}")
        if silent:
            notes.append(f"not measured, because never called as layer(x): {abbreviated(silent)}")
        if self._without_rows:
            notes.append(
                "not measured, because the output does not have one row for each image: "
                f"{abbreviated(list(self._without_rows))}; select a tensor with output= (--output-key)"
            )
        return tuple(notes)

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            self._emit(name, output, own=False)

        return hook

    def _emit(self, name: str, output: Any, own: bool) -> None:
        assert self._on_features is not None
        self._calls[name] += 1
        count = self._calls[name]
        try:
            features = select_output(output, selector_of(self.output, name, own), name, self._n)
        except ValueError:
            if own or name in self.required:
                raise
            self._without_rows[name] = None
            return
        name = name if count == 1 else f"{name}#{count}"
        self._order.append(name)
        self._on_features(
            name, features.detach().flatten(1) if features.ndim > 1 else features.detach()[:, None]
        )


def shared_names(model: nn.Module, layers: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """A sentence on measured layers that have several names."""
    names = module_names(model)
    by_id = {id(module): name for name, module in layers.items()}
    pairs = [
        f"{name} is {by_id[id(module)]}"
        for name, module in names.modules.items()
        if by_id.get(id(module), name) != name
    ]
    return (f"shared modules, listed under one name: {abbreviated(pairs)}",) if pairs else ()


def abbreviated(names: Collection[str]) -> str:
    """The first four names, and how many more there are."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(list(names)[:4]) + more


@torch.no_grad()
def row_chunks(features: Tensor) -> tuple[Tensor, ...]:
    """Chunks of rows for sums in float64: a few MB on a CPU, to fit into its cache, up to 256 MB on a GPU."""
    limit = 2**20 if features.device.type == "cpu" else 2**25
    return features.split(max(1, limit // max(features.shape[1], 1)))
