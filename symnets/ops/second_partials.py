"""SecondPartials: the gradient of the partials of a product, by one loop for each argument."""

from typing import NamedTuple

from torch import Tensor

from symnets.ops.adjacency import Adjacency
from symnets.ops.fused_plan import FusedPlan
from symnets.ops.product_code import Second


class SecondPartials(NamedTuple):
    """Gradient of (dL/dx, dL/dY, dL/dw) (g, x, Y, w) in g, x, Y and w, where wanted; see `product_code`."""

    plan: FusedPlan
    edges: Adjacency
    arguments: tuple[Tensor, ...]
    """g, x, Y, w."""
    cotangents: tuple[Tensor | None, ...]
    """a, b, c of the partials in x, Y, w."""
    wants: tuple[bool, ...]
    """Of the four."""

    @property
    def given(self) -> Second:
        """Which cotangents there are."""
        return Second(*(cotangent is not None for cotangent in self.cotangents))

    def all(self) -> tuple[Tensor | None, ...]:
        """Those in g, x, Y and w."""
        dy, dw, _ = self.on_edges()
        return *self.at_nodes(), dy, dw

    def at_nodes(self) -> tuple[Tensor | None, Tensor | None]:
        """Those in g and x."""
        sources, filters, weights = self._beside()
        given, dg, dx = self.given, None, None
        if self.wants[0] and any(given):
            dg = self.plan.at_nodes(given.to_receivers(), self.edges, *sources, *filters, *weights)
        if self.wants[1] and (given.b or given.c):
            dx = self.plan.at_nodes(given.to_senders(), self.edges, self.arguments[0], *filters, *weights)
        return dg, dx

    def on_edges(
        self, *, first: bool = False, pairs: slice = slice(None), d_filters: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Those in Y and w; then dL/dw itself, of g, x, Y, w, if asked for (`first`).

        The weights and their cotangent may be those of some `pairs` only; dY is then written to `d_filters`.
        """
        given, wants = self.given, self.wants
        filters_too, weights_too = wants[2] and (given.a or given.c), wants[3] and (given.a or given.b)
        if not (filters_too or weights_too or first):
            return None, None, None
        loop = given.on_edges(filters=filters_too, first=first)
        counted = zip(self._beside(), loop.counts, strict=True)
        read = (tensor for tensors, n in counted for tensor in tensors[:n])
        into = d_filters if filters_too else None
        outputs = self.plan.on_edges(loop, self.edges, self.arguments[0], *read, pairs=pairs, d_filters=into)
        dy = outputs.pop(0) if filters_too else None
        dw = outputs.pop(0) if given.a or given.b else None
        return dy, dw if weights_too else None, outputs.pop() if first else None

    def _beside(self) -> list[list[Tensor]]:
        """Sources, filters and weights, each with its cotangent if there is one."""
        pairs = zip(self.arguments[1:], self.cotangents, strict=True)
        return [[argument] if other is None else [argument, other] for argument, other in pairs]
