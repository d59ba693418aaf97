"""The fused tensor product with a factor for each edge and channel, differentiable to any order."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symnets.ops._adjacency import Adjacency
from symnets.ops._compiled_module import LoopCall
from symnets.ops._fused import add_term, needed_grads
from symnets.ops._fused_plan import CompiledPlan, WeightsType, empty_hugepages
from symnets.ops._paths import Plan
from symnets.ops._scaled_sum import A, G, ScaledSum, W, X, Y, factor_columns
from symnets.ops._tabulated_product import SplineWeights
from symnets.ops._weight_code import WeightRows, WeightSplines
from symnets.threads import run

Tensors = tuple[Tensor, ...]
SomeTensors = tuple[Tensor | None, ...]


class ScaledPlan:
    """Partial derivatives of the 5-linear form L(g, x, Y, w, a) of `_scaled_sum`, by compiled loops.

    Args:
        plan: the product.
        weights: `WeightRows`; or `WeightSplines`. Then w consists of the distances r, the table, its inverse
            step and the first row of each distance. The derivative in w is that in r, and w has no cotangent.
    """

    def __init__(self, plan: Plan, weights: WeightsType = WeightRows) -> None:
        self.plan, self.n_factors, self.compiled = plan, factor_columns(plan), CompiledPlan(plan, weights)
        self.splines = weights is WeightSplines

    def partials(
        self, edges: Adjacency, arguments: Sequence[Any], cotangents: SomeTensors, needs: tuple[bool, ...]
    ) -> list[Tensor | None]:
        """Derivatives of Σ_n L(..., cotangent n, ...), or of L if no cotangent is given.

        Args:
            edges: adjacency of the graph.
            arguments: g, x, Y, w and a.
            cotangents: of each argument, or None.
            needs: whether the derivative in each argument is needed; false where it is identically zero.
        """
        given = tuple(cotangent is not None for cotangent in cotangents)
        result: list[Tensor | None] = [None] * 5
        for output in (G, X):
            if needs[output]:
                loop = ScaledSum(given, (output,))
                other, (order, start) = (
                    (edges.sender, edges.by_receiver) if output == G else (edges.receiver, edges.by_sender)
                )
                columns = (self.plan.irreps_out if output == G else self.plan.irreps_in).dim
                result[output] = arguments[Y].new_zeros(len(start) - 1, columns)
                self._run(loop, result, arguments, cotangents, (other, edges.pair, order, start))
        on_edges = [output for output in (Y, W, A) if needs[output]]
        if self.splines and W in on_edges and Y not in on_edges:
            on_edges.insert(0, Y)  # dL/dr needs the table, which is an argument of loops that compute dL/dY
        if on_edges:
            order, start = edges.by_pair
            n_edges, like = len(edges.sender), arguments[X]
            shapes = {
                Y: (n_edges, self.plan.irreps_filter.dim),
                W: (len(start) - 1, 1 if self.splines else self.plan.weight_numel),
                A: (n_edges, self.n_factors),
            }
            for output in on_edges:
                result[output] = empty_hugepages(*shapes[output], like)
            loop = ScaledSum(given, tuple(on_edges))
            self._run(loop, result, arguments, cotangents, (edges.sender, edges.receiver, order, start))
        return result

    def _run(
        self,
        loop: ScaledSum,
        result: list[Tensor | None],
        arguments: Sequence[Any],
        cotangents: SomeTensors,
        graph: Any,
    ) -> None:
        outputs = [result[output] for output in loop.outputs]
        inputs: list[Any] = []
        for n, version in loop.inputs:
            given = (cotangents if version else arguments)[n]
            inputs += given if isinstance(given, tuple) else [given]
        function = self.compiled.function(loop, inputs[0].dtype)
        run(LoopCall(function, *outputs, *inputs, *graph), graph[-1] * self.plan.work)  # pyright: ignore


class ScaledPartials(torch.autograd.Function):
    """Autograd function of partial derivatives of L at (g, x, Y, w, a); None for those not needed.

    The gradient of Σ_n <t_n, dL/dn> is that of Σ_n L(..., t_n, ...): the function is its own derivative.
    """

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        y: Tensor,
        w: Tensor,
        a: Tensor,
        plan: ScaledPlan,
        edges: Adjacency,
        needs: tuple[bool, ...],
    ) -> SomeTensors:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x, y, w, a)
        ctx.plan, ctx.edges = plan, edges
        return tuple(plan.partials(edges, (g, x, y, w, a), (None,) * 5, needs))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> SomeTensors:  # pyright: ignore[reportIncompatibleMethodOverride]
        plan, edges, arguments, needs = ctx.plan, ctx.edges, ctx.saved_tensors, needed_grads(ctx)[:5]
        given = [n for n, cotangent in enumerate(cotangents) if cotangent is not None]
        if len(given) > 1 and not torch.is_grad_enabled():
            return (*plan.partials(edges, arguments, cotangents, needs), None, None, None)
        gradients: list[Tensor | None] = [None] * 5
        for n in given:
            replaced = [cotangents[n] if m == n else argument for m, argument in enumerate(arguments)]
            others = tuple(need and m != n for m, need in enumerate(needs))
            if any(others):
                terms: Any = ScaledPartials.apply(*replaced, plan, edges, others)
                for m, term in enumerate(terms):
                    add_term(gradients, m, term)
        return (*gradients, None, None, None)


class SplinePartial(torch.autograd.Function):
    """Autograd function of a partial derivative of L with weights w(r) from a table, differentiable once."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        y: Tensor,
        r: Tensor,
        a: Tensor,
        tables: tuple[Any, ...],
        plan: ScaledPlan,
        edges: Adjacency,
        output: int,
    ) -> Tensor:
        ctx.save_for_backward(g, x, y, r, a)
        ctx.tables, ctx.plan, ctx.edges, ctx.output = tables, plan, edges, output
        needs = tuple(n == output for n in range(5))
        partial = plan.partials(edges, (g, x, y, (r, *tables), a), (None,) * 5, needs)[output]
        assert partial is not None
        return partial

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> SomeTensors:  # pyright: ignore
        g, x, y, r, a = ctx.saved_tensors
        arguments: list[Any] = [g, x, y, (r, *ctx.tables), a]
        arguments[ctx.output] = cotangent.contiguous()
        needs = tuple(need and n != ctx.output for n, need in enumerate(needed_grads(ctx)))
        dg, dx, dy, dr, da = ctx.plan.partials(ctx.edges, arguments, (None,) * 5, needs)
        dr = None if dr is None else dr.view_as(r)
        return dg, dx, dy if needs[Y] else None, dr, da, None, None, None, None


def _partial(
    plan: ScaledPlan,
    g: Tensor,
    x: Tensor,
    y: Tensor,
    w: Tensor | SplineWeights,
    a: Tensor,
    edges: Adjacency,
    output: int,
) -> Tensor:
    """Derivative of L in one argument."""
    if isinstance(w, SplineWeights):
        first_row = w.table.first_rows(w.distances, w.kind).numpy()
        tables = w.table.table, w.table.table.new_tensor([1 / w.table.step]), first_row
        return SplinePartial.apply(g, x, y, w.distances, a, tables, plan, edges, output)  # pyright: ignore
    needs = tuple(n == output for n in range(5))
    return ScaledPartials.apply(g, x, y, w, a, plan, edges, needs)[output]  # pyright: ignore


def scaled_sum(
    plan: ScaledPlan, x: Tensor, y: Tensor, w: Tensor | SplineWeights, a: Tensor, edges: Adjacency
) -> Tensor:
    """dL/dg (x, Y, w, a): the product with weights w a, summed over the edges of each receiver."""
    return _partial(plan, x.new_empty(0), x, y, w, a, edges, G)


def scaled_overlaps(
    plan: ScaledPlan, g: Tensor, x: Tensor, y: Tensor, w: Tensor | SplineWeights, edges: Adjacency
) -> Tensor:
    """dL/da (g, x, Y, w): inner product of the receiver's g and the message, for each edge and channel."""
    return _partial(plan, g, x, y, w, x.new_empty(0), edges, A)
