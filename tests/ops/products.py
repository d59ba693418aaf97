"""Products, graphs and arguments for the tests of `TensorProductScatter`, and the reference by e3nn."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from e3nn import o3
from hypothesis import strategies as st
from torch import Tensor

from symnets.ops import TensorProductScatter, from_e3nn, to_e3nn
from tests.naive.e3nn_signs import with_common_signs

Arguments = tuple[Tensor, Tensor, Tensor, Tensor, int]


class Case(NamedTuple):
    """Irreps, instructions and normalisations of a product."""

    irreps: tuple[o3.Irreps, o3.Irreps, o3.Irreps]
    instructions: list[tuple[Any, ...]]
    normalizations: dict[str, Any]

    def op(self, **options: Any) -> TensorProductScatter:
        """The product by symnets."""
        return TensorProductScatter(*self.irreps, self.instructions, **self.normalizations, **options)

    def e3nn(self, layout: str, dtype: torch.dtype = torch.float64) -> Callable[..., Tensor]:
        """The product by `e3nn.o3.TensorProduct` for each edge, and a sum over edges."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)  # e3nn keeps its coefficients in the default dtype
        product = o3.TensorProduct(
            *self.irreps,
            self.instructions,
            shared_weights=False,
            internal_weights=False,
            **self.normalizations,
        )
        torch.set_default_dtype(before)
        with_common_signs(product)
        in1, in2, out = self.irreps

        def scattered(x: Tensor, y: Tensor, w: Tensor, edge_index: Tensor, n: int) -> Tensor:
            if layout == "ir_mul":
                x, y = to_e3nn(x, in1), to_e3nn(y, in2)
            messages = product(x[edge_index[0]], y, w)
            summed = messages.new_zeros(n, out.dim).index_add(0, edge_index[1], messages)
            return from_e3nn(summed, out.simplify()) if layout == "ir_mul" else summed

        return scattered


def _irreps(largest: int, l_max: int = 4) -> st.SearchStrategy[o3.Irreps]:
    irrep = st.tuples(st.integers(1, largest), st.integers(0, l_max), st.sampled_from([1, -1]))
    return st.lists(irrep, min_size=1, max_size=3).map(
        lambda parts: o3.Irreps([(mul, (degree, p)) for mul, degree, p in parts])
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Random products: irreps up to l = 4 of both parities with up to 6 channels, paths into separate or
    shared slots, path weights, all normalisations; a slot may be empty."""
    in1, in2 = draw(_irreps(6)), draw(_irreps(3))
    allowed = [
        (i, j, out)
        for i, (_, a) in enumerate(in1)
        for j, (_, b) in enumerate(in2)
        for out in a * b
        if out.l <= 4
    ]
    chosen = draw(st.lists(st.sampled_from(allowed), min_size=1, max_size=5)) if allowed else []
    slots: list[tuple[int, o3.Irrep]] = [(2, o3.Irrep("0e"))] if draw(st.booleans()) else []
    instructions = []
    for i, j, out in chosen:
        slot = (in1[i].mul, out)
        if slot not in slots or draw(st.booleans()):
            slots.append(slot)
        number = len(slots) - 1 - slots[::-1].index(slot)
        instructions.append((i, j, number, "uvu", True, draw(st.sampled_from([1.0, 0.25, 0.7, 3.0]))))
    names = {
        "irrep_normalization": draw(st.sampled_from(["component", "norm", "none"])),
        "path_normalization": draw(st.sampled_from(["element", "path", "none"])),
    }
    return Case((in1, in2, o3.Irreps(slots)), instructions, names)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Tensor, int, int]:
    """Random graphs: edges in any order, perhaps none; the last receiver has no edges."""
    senders, receivers = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    edge = st.tuples(st.integers(0, senders - 1), st.integers(0, receivers - 2))
    edges = draw(st.lists(edge, max_size=8))
    return torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).mT.contiguous(), senders, receivers


def arguments(
    op: TensorProductScatter, graph: tuple[Tensor, int, int], dtype: torch.dtype = torch.float64
) -> Arguments:
    """Random features, filters and weights on a graph."""
    edge_index, senders, receivers = graph
    n_edges, generator = edge_index.shape[1], torch.Generator().manual_seed(1)
    shapes = (senders, op.irreps_in1.dim), (n_edges, op.irreps_in2.dim), (n_edges, op.weight_numel)
    x, y, w = (torch.randn(s, generator=generator, dtype=dtype, requires_grad=True) for s in shapes)
    return x, y, w, edge_index, receivers


def draw(
    op: TensorProductScatter, dtype: torch.dtype = torch.float64, n_nodes: int = 4, n_edges: int = 7
) -> Arguments:
    """Random arguments on a graph in which one node has no edges."""
    generator = torch.Generator().manual_seed(1)
    senders, receivers = (torch.randint(n, (n_edges,), generator=generator) for n in (n_nodes, n_nodes - 1))
    return arguments(op, (torch.stack([senders, receivers]), n_nodes, n_nodes), dtype)


def derivatives(function: Callable[..., Tensor], arguments: Arguments) -> list[Tensor]:
    """Value, gradient, and gradient of a function of the gradient."""
    x, y, w, edge_index, n = arguments
    out = function(x, y, w, edge_index, n)
    weights = torch.sin(torch.arange(out.numel(), dtype=out.dtype)).view_as(out)
    first = torch.autograd.grad((out * weights).sum() + (out**2).sum(), (x, y, w), create_graph=True)
    second = torch.autograd.grad(sum((g**2).sum() for g in first), (x, y, w))
    return [out, *first, *second]


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest entry of b."""
    a, b = a.detach().double(), b.detach().double()
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.abs().max().clamp(min=1e-300)) if b.numel() else 0.0


def largest_error(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Largest relative error of values and derivatives."""
    return max(relative(a, b) for a, b in zip(ours, theirs, strict=True))
