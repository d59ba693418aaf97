"""The partials of a tensor product as machine code, its Clebsch-Gordan coefficients written into it.

All derivatives of the product are first partials of the 4-linear form

    L(g, x, Y, w) = Σ_{edges e} Σ_{paths p} Σ_{a, b, k, c} CG^p_abk g[receiver(e), k, c] x[sender(e), a, c]
                    Y[e, b] w[e, p, c]

with some argument replaced: dL/dg and dL/dx are sums over the edges of a node (`node_code`), dL/dY and dL/dw
are rows of an edge (`edge_code`). No message is ever stored.

The gradient of these partials, with cotangents a of dL/dx, b of dL/dY and c of dL/dw, is that of

    L(g, a, Y, w) + L(g, x, b, w) + L(g, x, Y, c),

sums of the same partials with arguments replaced, each written as one loop that reads every row once.
"""

from collections.abc import Iterator
from typing import NamedTuple

from llvmlite import ir

from symnets.ops.edge_code import EdgeSum, write_edge_sum
from symnets.ops.node_code import NodeSum, write_node_sum
from symnets.ops.paths import Plan, Term
from symnets.ops.weight_code import Weights

LONGEST = 120
"""Coefficients of a group of paths: programs of moderate length compile in a time that grows as their length,
and no faster, so that a loop calls a function for each group."""

TO_RECEIVERS = NodeSum(receivers=True, terms=((0, 0, 0),))
TO_SENDERS = NodeSum(receivers=False, terms=((0, 0, 0),))
ON_EDGES = EdgeSum(d_filters=((0, 0),), d_weights=(((0, 0),),))
WEIGHTS_ON_EDGES = EdgeSum(d_filters=(), d_weights=(((0, 0),),))


class Second(NamedTuple):
    """The gradient of the partials: which cotangents of x, Y and w there are.

    At the receivers sources are x and a, at the senders the one source is g; filters are Y and b, weights
    w and c, as far as given.
    """

    a: bool
    b: bool
    c: bool

    def to_receivers(self) -> NodeSum:
        """Derivative in g."""
        terms = [(1, 0, 0)] * self.a + [(0, 1, 0)] * self.b + [(0, 0, 1)] * self.c
        return NodeSum(receivers=True, terms=tuple(terms))

    def to_senders(self) -> NodeSum:
        """Derivative in x."""
        return NodeSum(receivers=False, terms=tuple([(0, 1, 0)] * self.b + [(0, 0, 1)] * self.c))

    def on_edges(self, *, filters: bool, first: bool) -> EdgeSum:
        """Derivatives in Y, if wanted, and in w; those in w of L(g, x, Y, w), too, if wanted (`first`)."""
        d_filters = [(1, 0)] * self.a + [(0, 1)] * self.c if filters else []
        d_weights = [tuple([(1, 0)] * self.a + [(0, 1)] * self.b)] if self.a or self.b else []
        return EdgeSum(tuple(d_filters), (*d_weights, *[((0, 0),)] * first))


def product_code(plan: Plan, dtype: str, weights: Weights, loop: NodeSum | EdgeSum) -> ir.Module:
    """The module of one loop: its function `loop`.

    Args:
        plan: the product.
        dtype: of all numbers.
        weights: where weights come from.
        loop: what is summed.
    """
    module = ir.Module("tensor_product")
    groups = list(_groups(plan))
    if isinstance(loop, NodeSum):
        write_node_sum(module, plan, groups, dtype, weights, loop)
    else:
        write_edge_sum(module, plan, groups, dtype, weights, loop)
    return module


def _groups(plan: Plan) -> Iterator[list[tuple[int, list[Term]]]]:
    """Neighbouring paths of as many channels, up to a length of the program."""
    held: list[tuple[int, list[Term]]] = []
    for number in range(len(plan.paths)):
        terms = plan.terms(number)
        length = sum(len(others) for _, others in held) + len(terms)
        if held and (length > LONGEST or plan.channels(held[0][0]) != plan.channels(number)):
            yield held
            held = []
        held.append((number, terms))
    if held:
        yield held
