"""CompiledPlan: the partials of a tensor product as functions of the processor at hand."""

from collections.abc import Callable

import torch

from symnets.ops.machine import Machine
from symnets.ops.paths import Plan
from symnets.ops.product_code import product_code, signatures
from symnets.ops.weight_code import Given, Tabulated


class CompiledPlan:
    """The partials of a plan, compiled when a dtype is first met. Copies share them, for machine code cannot
    be copied; a pickled one compiles anew.

    Args:
        plan: the product.
        weights: where its weights come from.
    """

    def __init__(self, plan: Plan, weights: type[Given] | type[Tabulated]) -> None:
        self.plan, self.weights = plan, weights
        self._machines: dict[str, Machine] = {}

    def __deepcopy__(self, memo: object) -> "CompiledPlan":
        return self

    def __reduce__(self) -> tuple[type["CompiledPlan"], tuple[Plan, type[Given] | type[Tabulated]]]:
        return CompiledPlan, (self.plan, self.weights)

    def function(self, name: str, dtype: torch.dtype) -> Callable[..., None]:
        """A partial, see `product_code`."""
        real = str(dtype).removeprefix("torch.")
        if real not in self._machines:
            weights = self.weights(self.plan.weight_numel)
            self._machines[real] = Machine(product_code(self.plan, real, weights), signatures(weights))
        return self._machines[real].functions[name]
