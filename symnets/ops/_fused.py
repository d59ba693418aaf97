"""The fused tensor product and scatter as a torch autograd function, differentiable to any order."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from symnets.ops._adjacency import Adjacency
from symnets.ops._fused_plan import (
    ON_EDGES,
    TO_RECEIVERS,
    TO_SENDERS,
    WEIGHTS_ON_EDGES,
    FusedPlan,
    GivenCotangents,
)


def needed_grads(ctx: Any, places: Sequence[int] | None = None) -> tuple[bool, ...]:
    """For each tensor argument of a custom function, whether the current backward pass uses its derivative.

    `ctx.needs_input_grad` is true for every argument that requires a gradient. This includes the network's
    weights when only forces, derivatives with respect to positions, are computed. The autograd engine has the
    exact answer.

    Args:
        ctx: context of the function.
        places: positions of the tensors among the arguments; None if they are the first ones.
    """
    nodes = [node for node, _ in ctx.next_functions]
    needs = ctx.needs_input_grad if places is None else [ctx.needs_input_grad[place] for place in places]
    return tuple(need and _executed(node) for need, node in zip(needs, nodes, strict=False))


def _executed(node: Any) -> bool:
    """Whether the current backward pass executes a node of the autograd graph."""
    try:
        return torch._C._will_engine_execute_node(node)  # pyright: ignore[reportAttributeAccessIssue]
    except RuntimeError:  # a leaf among the inputs of `torch.autograd.grad`
        return True


def add_term(gradients: list[Tensor | None], slot: int, term: Any) -> None:
    """Add a term to `gradients[slot]`; None is zero."""
    if term is not None:
        before = gradients[slot]
        gradients[slot] = term if before is None else before + term


class SecondPartials(NamedTuple):
    """Second derivatives: the gradient of the partials (dL/dx, dL/dY, dL/dw) with respect to g, x, Y and w.

    L is the 4-linear form of `_fused_plan`. One compiled loop computes the gradient in g, one that in x, and
    one those in Y and w.
    """

    plan: FusedPlan
    edges: Adjacency
    arguments: tuple[Tensor, ...]
    """g, x, Y, w."""
    cotangents: tuple[Tensor | None, ...]
    """a, b, c: cotangents of the partials in x, Y, w; None where there is none."""
    needs: tuple[bool, ...]
    """Whether the gradients in g, x, Y and w are needed."""

    @property
    def given(self) -> GivenCotangents:
        """Which of the cotangents are not None."""
        return GivenCotangents(*(cotangent is not None for cotangent in self.cotangents))

    def all(self) -> tuple[Tensor | None, ...]:
        """Gradients in g, x, Y and w."""
        dy, dw, _ = self.on_edges()
        return *self.at_nodes(), dy, dw

    def at_nodes(self) -> tuple[Tensor | None, Tensor | None]:
        """Gradients in g and x."""
        sources, filters, weights = self._with_cotangents()
        given, dg, dx = self.given, None, None
        if self.needs[0] and any(given):
            dg = self.plan.at_nodes(given.to_receivers(), self.edges, *sources, *filters, *weights)
        if self.needs[1] and (given.b or given.c):
            dx = self.plan.at_nodes(given.to_senders(), self.edges, self.arguments[0], *filters, *weights)
        return dg, dx

    def on_edges(
        self, *, first: bool = False, pairs: slice = slice(None), d_filters: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients in Y and w; and if `first`, the first-order partial dL/dw (g, x, Y, w) too.

        Arguments and cotangents may contain only the weights of a slice of `pairs`. The gradient in Y is then
        written to `d_filters`.
        """
        given, needs = self.given, self.needs
        needs_dy, needs_dw = needs[2] and (given.a or given.c), needs[3] and (given.a or given.b)
        if not (needs_dy or needs_dw or first):
            return None, None, None
        loop = given.on_edges(filters=needs_dy, first=first)
        counted = zip(self._with_cotangents(), loop.counts, strict=True)
        inputs = (tensor for tensors, n in counted for tensor in tensors[:n])
        out = d_filters if needs_dy else None
        outputs = self.plan.on_edges(loop, self.edges, self.arguments[0], *inputs, pairs=pairs, d_filters=out)
        dy = outputs.pop(0) if needs_dy else None
        dw = outputs.pop(0) if given.a or given.b else None
        return dy, dw if needs_dw else None, outputs.pop() if first else None

    def _with_cotangents(self) -> list[list[Tensor]]:
        """Sources, filters and weights, each followed by its cotangent if there is one."""
        pairs = zip(self.arguments[1:], self.cotangents, strict=True)
        return [[argument] if cotangent is None else [argument, cotangent] for argument, cotangent in pairs]


class Product(torch.autograd.Function):
    """Autograd function of the tensor product and scatter, out = dL/dg (x, Y, w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, w: Tensor, plan: FusedPlan, edges: Adjacency) -> Tensor:
        ctx.save_for_backward(x, y, w)
        ctx.plan, ctx.edges = plan, edges
        return plan.at_nodes(TO_RECEIVERS, edges, x, y, w)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (*Partials.apply(g, *ctx.saved_tensors, ctx.plan, ctx.edges, needed_grads(ctx)), None, None)  # pyright: ignore


class Partials(torch.autograd.Function):
    """Autograd function of the partials dL/dx, dL/dY, dL/dw at (g, x, Y, w); None for those not needed."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        y: Tensor,
        w: Tensor,
        plan: FusedPlan,
        edges: Adjacency,
        needs: tuple[bool, bool, bool],
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x, y, w)
        ctx.plan, ctx.edges = plan, edges
        dx = plan.at_nodes(TO_SENDERS, edges, g, y, w) if needs[0] else None
        dy, dw = None, None
        if needs[1]:
            dy, dw = plan.on_edges(ON_EDGES, edges, g, x, y, w)
        elif needs[2]:
            (dw,) = plan.on_edges(WEIGHTS_ON_EDGES, edges, g, x, y, w)
        return dx, dy, dw if needs[2] else None

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore
        needs = needed_grads(ctx)
        second = SecondPartials(ctx.plan, ctx.edges, ctx.saved_tensors, cotangents, needs)
        gradients = _differentiable(second) if torch.is_grad_enabled() else second.all()
        return *gradients, None, None, None


def _differentiable(second: SecondPartials) -> tuple[Tensor | None, ...]:
    """`SecondPartials.all` from operations that can be differentiated again.

    L is linear in each argument: the gradient is that of L(g, a, Y, w) + L(g, x, b, w) + L(g, x, Y, c).
    """
    plan, edges, (g, *others), cotangents, needs = second
    gradients: list[Tensor | None] = [None] * 4
    for slot, cotangent in enumerate(cotangents):
        if cotangent is None:
            continue
        replaced = [cotangent if n == slot else a for n, a in enumerate(others)]
        if needs[0]:
            add_term(gradients, 0, Product.apply(*replaced, plan, edges))
        partial_needs = tuple(need and n != slot for n, need in enumerate(needs[1:]))
        if any(partial_needs):
            partials: Any = Partials.apply(g, *replaced, plan, edges, partial_needs)
            for n, partial in enumerate(partials):
                add_term(gradients, n + 1, partial)
    return tuple(gradients)


def fused(plan: FusedPlan, x: Tensor, y: Tensor, w: Tensor, edges: Adjacency) -> Tensor:
    """Tensor product and scatter by compiled loops, for CPU tensors, all float32 or all float64."""
    return Product.apply(x, y, w, plan, edges)  # pyright: ignore[reportReturnType]
