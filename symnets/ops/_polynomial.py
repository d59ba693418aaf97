"""Polynomials with coefficients for each species as an autograd function, differentiable to any order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from symnets.ops._compiled_module import CompiledModule, LoopCall
from symnets.ops._fused import add_term, needed_grads
from symnets.ops._polynomial_code import NeededPartials, PolynomialPlan, arguments, polynomial_loops, widths
from symnets.threads import run


class SpeciesOrder:
    """Indices of the nodes sorted by species, and the position of each species' first node."""

    def __init__(self, species: Int[Tensor, " nodes"], n_species: int) -> None:
        numbers = species.detach().numpy()
        self.order = np.argsort(numbers, kind="stable")
        self.counts = np.bincount(numbers, minlength=n_species)
        self.start = np.concatenate([[0], np.cumsum(self.counts)])


class FusedPolynomial:
    """Compiled loops for the polynomial of a plan and its partial derivatives, each compiled at first use."""

    def __init__(self, plan: PolynomialPlan) -> None:
        self.plan = plan
        self._modules: dict[tuple[str, int, NeededPartials], CompiledModule] = {}

    def __deepcopy__(self, memo: object) -> "FusedPolynomial":
        return self  # immutable, and machine code cannot be copied

    def __reduce__(self) -> tuple[type["FusedPolynomial"], tuple[PolynomialPlan]]:
        return FusedPolynomial, (self.plan,)

    def partials(
        self,
        needed: NeededPartials,
        g: Tensor,
        c: Tensor,
        vectors: Sequence[Tensor],
        nodes: SpeciesOrder,
    ) -> tuple[Tensor | None, ...]:
        """Partials dF/dg, dF/dC and dF/dx at (g, C, x, a1 ... ak); None for those that are not needed.

        F is defined in `_polynomial_code`; `vectors` are x, a1 ... ak. dF/dg does not depend on g, which may
        then be empty.

        Each partial has a loop of its own. One loop for several takes up to twice the time: their sums do
        not fit into the registers together.
        """
        places = [place for place, is_needed in enumerate(needed) if is_needed]
        results = {place: self._partial(place, g, c, vectors, nodes) for place in places}
        return tuple(results.get(place) for place in range(len(needed)))

    def _partial(
        self, place: int, g: Tensor, c: Tensor, vectors: Sequence[Tensor], nodes: SpeciesOrder
    ) -> Tensor:
        """Partial in g, C or x, for place 0, 1 or 2."""
        x, *directions = vectors
        dtype = str(x.dtype).removeprefix("torch.")
        key = (dtype, len(directions), NeededPartials(*(n == place for n in range(3))))
        functions = widths(self.plan.channels, dtype)
        if key not in self._modules:
            kinds = {width.name: arguments(len(directions)) for width in functions}
            self._modules[key] = CompiledModule(polynomial_loops(self.plan, *key), kinds)
        if place == 0:
            result = x.new_empty(x.shape[0], self.plan.outputs.dim * self.plan.channels)
        elif place == 1:
            result = torch.zeros_like(c, memory_format=torch.contiguous_format)
        else:
            result = x.new_empty(x.shape)
        # Any tensor serves as an argument that a loop does not use.
        tables = [*(result if n == place else x for n in range(3)), g]
        for width in functions:
            function = self._modules[key].functions[width.name]
            call = LoopCall(function, *tables, c, x, *directions, nodes.order, nodes.start)
            work = np.repeat(nodes.counts, width.times) * len(self.plan.terms) * width.lanes
            run(call, np.concatenate([[0], np.cumsum(work)]))
        return result


class Partials(torch.autograd.Function):
    """Autograd function of the partials of F in g, C, x, a1 ... ak; None for those that are not needed.

    F is linear in all arguments but x. The gradient of a partial in a linear argument is the gradient of F
    with the cotangent in place of this argument. The gradient of dF/dx is that of F with its cotangent as one
    more direction a(k+1).
    """

    @staticmethod
    def forward(
        ctx: Any,
        polynomial: FusedPolynomial,
        nodes: SpeciesOrder,
        needed: tuple[bool, ...],
        g: Tensor,
        c: Tensor,
        *vectors: Tensor,
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, c, *vectors)
        ctx.polynomial, ctx.nodes = polynomial, nodes
        partials: list[Tensor | None] = [None] * len(needed)
        if any(needed[:3]):
            partials[:3] = polynomial.partials(NeededPartials(*needed[:3]), g, c, vectors, nodes)
        for place in range(3, len(needed)):
            if needed[place]:  # the partial in a direction is dF/dx of the form without this direction
                others = [vector for n, vector in enumerate(vectors) if n != place - 2]
                *_, partials[place] = polynomial.partials(
                    NeededPartials(False, False, True), g, c, others, nodes
                )
        return tuple(partials)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        saved = ctx.saved_tensors
        needs = needed_grads(ctx, range(3, 3 + len(saved)))
        gradients: list[Tensor | None] = [None] * len(saved)
        for place, cotangent in enumerate(cotangents):
            if cotangent is None:
                continue
            replaced, needed = list(saved), list(needs)
            if place == 2:  # x
                replaced.append(cotangent)
                needed.append(False)
            else:
                replaced[place] = cotangent
                needed[place] = False
            if any(needed):
                partials = Partials.apply(ctx.polynomial, ctx.nodes, tuple(needed), *replaced)
                for n, term in enumerate(partials[: len(saved)]):  # pyright: ignore[reportIndexIssue]
                    add_term(gradients, n, term)
        return (None, None, None, *gradients)


def polynomial(
    fused: FusedPolynomial,
    x: Float[Tensor, "nodes dim_in"],
    c: Float[Tensor, "species terms channels"],
    species: Int[Tensor, " nodes"],
) -> Float[Tensor, "nodes dim_out"]:
    """Polynomial P(x) of each node by compiled loops, for CPU tensors, all float32 or all float64."""
    nodes = SpeciesOrder(species, c.shape[0])
    return Partials.apply(fused, nodes, (True, False, False), x.new_empty(0), c, x)[0]  # pyright: ignore
