"""Features: the outputs of layers, compared with those of the images as they were."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.observables.stability.chosen_output import Choice, choice_of, chosen_output
from symnets.observables.stability.layers import OUTPUT

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
        output: Choice | Mapping[str, Choice] | None,
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
        features = chosen_output(found, choice_of(self.output, name, own), name, self._n)
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
