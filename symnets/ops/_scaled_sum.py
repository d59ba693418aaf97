"""Sums of derivatives of a tensor product whose weights have a factor for each edge and channel.

The form is that of `_fused_plan` with one argument more,

    L(g, x, Y, w, a) = Σ_{edges e} Σ_{paths p} Σ_{a, b, k, c} CG^p_abk g[receiver(e), k, c] x[sender(e), a, c]
                       Y[e, b] w[pair(e), p, c] a[e, c],

linear in each of its five arguments. A `ScaledSum` is a loop that computes first partial derivatives of a sum
of such forms, in which some arguments are replaced by their cotangents: version 0 of an argument is the
argument, version 1 its cotangent. Paths with equal numbers of channels share the columns of a.
"""

from collections.abc import Sequence
from typing import NamedTuple

from symnets.ops._paths import Plan
from symnets.ops._vector_code import Value
from symnets.ops._weight_code import Weights

G, X, Y, W, A = range(5)
"""The arguments of L."""
Input = tuple[int, int]
"""An argument and its version."""
Versions = dict[int, int]
"""Version of each argument of a term, without the argument by which it is differentiated."""


def factor_starts(plan: Plan) -> dict[int, int]:
    """First column of a for the paths of each number of channels."""
    starts, columns = {}, 0
    for channels in sorted({plan.channels(number) for number in range(len(plan.paths))}):
        starts[channels] = columns
        columns += channels
    return starts


def factor_columns(plan: Plan) -> int:
    """Number of columns of a."""
    return sum(factor_starts(plan))


class ScaledSum(NamedTuple):
    """Loop that computes derivatives of Σ_n L(..., cotangent n, ...), or of L if no cotangent is given.

    Derivatives in g or x are sums over the edges of each node, in loops of their own. One loop computes those
    in Y (edges), w (pairs of edges) and a (edges).
    """

    given: tuple[bool, ...]
    """Whether the cotangent of each argument is given."""
    outputs: tuple[int, ...]
    """Arguments in which to differentiate: (G,), (X,), or some of Y, W and A in this order."""

    def terms(self, output: int) -> list[Versions]:
        """Terms of the derivative with respect to an argument."""
        others = [n for n in range(5) if n != output]
        given = [n for n in others if self.given[n]] if any(self.given) else [-1]
        return [{n: int(n == replaced) for n in others} for replaced in given]

    @property
    def inputs(self) -> list[Input]:
        """Tables that the loop reads, in the order of its arguments."""
        return sorted(
            {item for output in self.outputs for term in self.terms(output) for item in term.items()}
        )

    def signature(self, weights: Weights) -> str:
        """Argument types of the function `loop`, in the letters of `VectorCode`.

        The arguments are: outputs; inputs; for sums at nodes the node at the other end and the pair of each
        edge, else its sender and receiver; edges sorted by node or pair, position of the first edge of each;
        first node or pair, last + 1.
        """
        return "r" * len(self.outputs) + self.letters(weights.public) + "iiiinn"

    def letters(self, of_weights: str) -> str:
        """Types of the arguments for all inputs; `of_weights` are those for one input of weights."""
        return "".join(of_weights if n == W else "r" for n, _ in self.inputs)

    def by_input(self, arguments: Sequence[Value], n_of_weights: int) -> dict[Input, Sequence[Value]]:
        """Arguments of each input; an input of weights has `n_of_weights` arguments, the others one."""
        result, start = {}, 0
        for item in self.inputs:
            stop = start + (n_of_weights if item[0] == W else 1)
            result[item], start = arguments[start:stop], stop
        return result
