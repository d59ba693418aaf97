"""CompiledPlan: the loops of a tensor product as functions of the processor at hand."""

import weakref
from collections.abc import Callable
from typing import Any

import torch

from symnets.ops.edge_code import EdgeSum
from symnets.ops.machine import Machine
from symnets.ops.node_code import NodeSum
from symnets.ops.paths import Plan
from symnets.ops.product_code import product_code
from symnets.ops.weight_code import Given, Tabulated

Kind = type[Given] | type[Tabulated]
_compiled: weakref.WeakValueDictionary[Any, Machine] = weakref.WeakValueDictionary()
"""All that are in use, by what they compute: layers of a network, and copies of it, share them."""


class CompiledPlan:
    """The loops of a plan, each compiled when first met with a dtype; a pickle holds the plan alone.

    Args:
        plan: the product.
        weights: where its weights come from.
    """

    def __init__(self, plan: Plan, weights: Kind) -> None:
        self.plan, self.weights = plan, weights
        self._machines: dict[tuple[NodeSum | EdgeSum, torch.dtype], Machine] = {}

    def __deepcopy__(self, memo: object) -> "CompiledPlan":
        return self

    def __reduce__(self) -> tuple[type["CompiledPlan"], tuple[Plan, Kind]]:
        return CompiledPlan, (self.plan, self.weights)

    def function(self, loop: NodeSum | EdgeSum, dtype: torch.dtype) -> Callable[..., None]:
        """One loop, see `product_code`."""
        machine = self._machines.get((loop, dtype))
        if machine is None:
            key = (self.plan.key, self.weights, loop, dtype)
            machine = _compiled.get(key)
            if machine is None:
                weights = self.weights(self.plan.weight_numel)
                code = product_code(self.plan, str(dtype).removeprefix("torch."), weights, loop)
                machine = Machine(code, {"loop": loop.signature(weights)})
                _compiled[key] = machine
            self._machines[loop, dtype] = machine
        return machine.functions["loop"]
