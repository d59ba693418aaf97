"""Polynomials with coefficients for each species as a torch operation, differentiable to any order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from symnets.ops._contraction_plan import ContractionPlan
from symnets.ops._polynomial_code import Needed, arguments, polynomial_loops, widths
from symnets.ops._vector_code import CompiledModule, LoopCall
from symnets.threads import run


class SpeciesOrder:
    """Nodes in the order of their species, and where the nodes of each species start."""

    def __init__(self, species: Int[Tensor, " nodes"], n_species: int) -> None:
        numbers = species.detach().numpy()
        self.order = np.argsort(numbers, kind="stable")
        self.counts = np.bincount(numbers, minlength=n_species)
        self.start = np.concatenate([[0], np.cumsum(self.counts)])


class FusedPolynomial:
    """The polynomial of a plan with its partials as machine code, compiled when they are first asked for."""

    def __init__(self, plan: ContractionPlan) -> None:
        self.plan = plan
        self._modules: dict[tuple[str, int, Needed], CompiledModule] = {}

    def __deepcopy__(self, memo: object) -> "FusedPolynomial":
        return self  # it does not change, and machine code cannot be copied

    def __reduce__(self) -> tuple[type["FusedPolynomial"], tuple[ContractionPlan]]:
        return FusedPolynomial, (self.plan,)

    def partials(
        self, needed: Needed, g: Tensor | None, c: Tensor, vectors: Sequence[Tensor], nodes: SpeciesOrder
    ) -> tuple[Tensor | None, ...]:
        """dF/dg, dF/dC and dF/dx (g, C, x, a1 ... ak), see `polynomial_code`; g may be None if not needed."""
        x, *directions = vectors
        dtype = str(x.dtype).removeprefix("torch.")
        key = (dtype, len(directions), needed)
        names = widths(self.plan.channels, dtype)
        if key not in self._modules:
            kinds = {width.name: arguments(len(directions)) for width in names}
            self._modules[key] = CompiledModule(polynomial_loops(self.plan, *key), kinds)
        made = (
            x.new_empty(x.shape[0], self.plan.irreps_out.dim) if needed.by_g else None,
            torch.zeros_like(c, memory_format=torch.contiguous_format) if needed.by_c else None,
            x.new_empty(x.shape) if needed.by_x else None,
        )
        tables = [x if table is None else table for table in (*made, g)]
        for width in names:
            function = self._modules[key].functions[width.name]
            call = LoopCall(function, *tables, c, x, *directions, nodes.order, nodes.start)
            work = np.repeat(nodes.counts, width.times) * len(self.plan.terms) * width.lanes
            run(call, np.concatenate([[0], np.cumsum(work)]))
        return made


class Partials(torch.autograd.Function):
    """Partials of F by g, C, x, a1 ... ak, those that are needed.

    F is linear in all but x. With a cotangent of one of them, the gradient is that of F with the cotangent
    in the place of that argument; that of dF/dx is one more direction.
    """

    @staticmethod
    def forward(
        ctx: Any,
        polynomial: FusedPolynomial,
        nodes: SpeciesOrder,
        needed: tuple[bool, ...],
        g: Tensor | None,
        c: Tensor,
        *vectors: Tensor,
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, c, *vectors)
        ctx.polynomial, ctx.nodes = polynomial, nodes
        found: list[Tensor | None] = [None] * len(needed)
        if any(needed[:3]):
            found[:3] = polynomial.partials(Needed(*needed[:3]), g, c, vectors, nodes)
        for place in range(3, len(needed)):
            if needed[place]:
                others = [vector for n, vector in enumerate(vectors) if n != place - 2]
                *_, found[place] = polynomial.partials(Needed(False, False, True), g, c, others, nodes)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        saved = ctx.saved_tensors
        needs = ctx.needs_input_grad[3:]
        gradients: list[Tensor | None] = [None] * len(saved)
        for place, cotangent in enumerate(cotangents):
            if cotangent is None:
                continue
            replaced, needed = list(saved), list(needs)
            if place == 2:
                replaced.append(cotangent)
                needed.append(False)
            else:
                replaced[place] = cotangent
                needed[place] = False
            if any(needed):
                found = Partials.apply(ctx.polynomial, ctx.nodes, tuple(needed), *replaced)
                for n, more in enumerate(found[: len(saved)]):  # pyright: ignore[reportIndexIssue]
                    if more is not None:
                        held = gradients[n]
                        gradients[n] = more if held is None else held + more
        return (None, None, None, *gradients)


def polynomial(
    fused: FusedPolynomial,
    x: Float[Tensor, "nodes dim_in"],
    c: Float[Tensor, "species terms channels"],
    species: Int[Tensor, " nodes"],
) -> Float[Tensor, "nodes dim_out"]:
    """P(x) of every node, on CPU tensors of one dtype, float32 or float64."""
    nodes = SpeciesOrder(species, c.shape[0])
    return Partials.apply(fused, nodes, (True, False, False), None, c, x)[0]  # pyright: ignore
