"""The fused product against e3nn's, against its plain twin, and under differentiation."""

import itertools
import os
import signal
import warnings

import pytest
import torch
from e3nn import o3
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from symnets.nn import from_e3nn, to_e3nn
from symnets.ops import LinearWeights, TensorProductScatter, all_paths, linear_weights

IRREPS = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 3), st.sampled_from([1, -1])), min_size=1, max_size=3
).map(lambda parts: o3.Irreps([(mul, (degree, p)) for mul, degree, p in parts]))
FILTERS = st.lists(
    st.tuples(st.just(1), st.integers(0, 3), st.sampled_from([1, -1])), min_size=1, max_size=3
).map(lambda parts: o3.Irreps([(mul, (degree, p)) for mul, degree, p in parts]))
EVERYTHING = o3.Irreps([(1, (degree, p)) for degree in range(4) for p in (1, -1)])


def e3nn_product(
    op: TensorProductScatter, x: Tensor, y: Tensor, w: Tensor, edge_index: Tensor, n: int
) -> Tensor:
    """`e3nn.o3.TensorProduct` on every edge, then a sum over edges."""
    plan = op.plan
    instructions = [(*path, "uvu", True) for path in plan.paths]
    before = torch.get_default_dtype()
    torch.set_default_dtype(x.dtype)  # e3nn keeps its coefficients in the default dtype
    product = o3.TensorProduct(
        plan.irreps_in,
        plan.irreps_filter,
        plan.slots,
        instructions,
        shared_weights=False,
        internal_weights=False,
    )
    torch.set_default_dtype(before)
    messages = product(to_e3nn(x, plan.irreps_in)[edge_index[0]], y, w)
    return from_e3nn(
        messages.new_zeros(n, plan.slots.dim).index_add(0, edge_index[1], messages), op.irreps_out
    )


def draw(op: TensorProductScatter, dtype: torch.dtype = torch.float64, n_nodes: int = 4, n_edges: int = 7):
    """Random arguments on a graph with a node that receives nothing."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((n_nodes, op.irreps_in.dim), (n_edges, op.irreps_filter.dim), (n_edges, op.weight_numel))
    x, y, w = (torch.randn(s, generator=generator, dtype=dtype, requires_grad=True) for s in shapes)
    receivers = torch.randint(n_nodes - 1, (n_edges,), generator=generator)
    return x, y, w, torch.stack([torch.randint(n_nodes, (n_edges,), generator=generator), receivers]), n_nodes


def derivatives(function, arguments) -> list[Tensor]:
    """Value, gradient, and gradient of a function of the gradient."""
    x, y, w, edge_index, n = arguments
    out = function(x, y, w, edge_index, n)
    weights = torch.sin(torch.arange(out.numel(), dtype=out.dtype)).view_as(out)
    first = torch.autograd.grad((out * weights).sum() + (out**2).sum(), (x, y, w), create_graph=True)
    second = torch.autograd.grad(sum((g**2).sum() for g in first), (x, y, w))
    return [out, *first, *second]


def relative(a: Tensor, b: Tensor) -> float:
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / b.abs().max().clamp(min=1e-300))


@settings(max_examples=15, deadline=None)
@given(IRREPS, FILTERS)
@pytest.mark.parametrize("implementation", ["fused", "plain"])
def test_equals_e3nn_with_derivatives_on_random_irreps(implementation, irreps_in, irreps_filter):
    slots, paths = all_paths(irreps_in, irreps_filter, EVERYTHING)
    if not paths:
        return
    op = TensorProductScatter(irreps_in, irreps_filter, slots, paths, implementation=implementation)
    arguments = draw(op)
    ours = derivatives(op, arguments)
    theirs = derivatives(lambda *a: e3nn_product(op, *a), arguments)
    assert max(relative(a, b) for a, b in zip(ours, theirs, strict=True)) < 1e-12


def test_equals_e3nn_in_float32():
    irreps, filters = o3.Irreps("8x0e+8x1o+8x2e"), o3.Irreps("0e+1o+2e")
    op = TensorProductScatter(irreps, filters, *all_paths(irreps, filters, irreps), implementation="fused")
    arguments = draw(op, torch.float32, n_nodes=20, n_edges=100)
    pairs = zip(
        derivatives(op, arguments), derivatives(lambda *a: e3nn_product(op, *a), arguments), strict=True
    )
    assert max(relative(a, b) for a, b in pairs) < 1e-5


@pytest.fixture
def small():
    return TensorProductScatter(
        "2x0e+1x1o", "0e+1o", *all_paths("2x0e+1x1o", "0e+1o", "0e+1o+1e"), implementation="fused"
    )


def test_gradients_of_first_and_second_order_are_finite_differences(small):
    x, y, w, edge_index, n = draw(small)
    assert torch.autograd.gradcheck(lambda *a: small(*a, edge_index, n), (x, y, w))
    assert torch.autograd.gradgradcheck(lambda *a: small(*a, edge_index, n), (x, y, w))


def test_several_paths_into_one_slot_share_its_normalisation():
    op = TensorProductScatter("3x1o", "0e+2e", "3x1o", [(0, 0, 0), (0, 1, 0)])
    twin = TensorProductScatter("3x1o", "0e+2e", "3x1o", [(0, 0, 0), (0, 1, 0)], implementation="plain")
    arguments = draw(op)
    expected = e3nn_product(op, *arguments)
    assert relative(op(*arguments), expected) < 1e-12
    assert relative(twin(*arguments), expected) < 1e-12


def test_threads_do_not_change_the_result():
    irreps, filters = o3.Irreps("16x0e+16x1o"), o3.Irreps("0e+1o")
    op = TensorProductScatter(irreps, filters, *all_paths(irreps, filters, irreps), implementation="fused")
    arguments = draw(op, n_nodes=200, n_edges=20_000)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = derivatives(op, arguments)
        torch.set_num_threads(2)
        assert all(torch.equal(a, b) for a, b in zip(derivatives(op, arguments)[:4], alone[:4], strict=True))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("implementation", ["fused", "plain"])
def test_no_edges_give_zeros(small, implementation):
    small.implementation = implementation
    x = torch.ones(3, small.irreps_in.dim, requires_grad=True)
    empty = torch.zeros(0, small.irreps_filter.dim), torch.zeros(0, small.weight_numel)
    out = small(x, *empty, torch.zeros(2, 0, dtype=torch.int64), 3)
    assert out.shape == (3, small.irreps_out.dim)
    assert not out.any()
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert not gradient.any()


def test_torch_func_takes_the_plain_twin(small):
    small.implementation = "auto"
    x, y, w, edge_index, n = (a.detach() if isinstance(a, Tensor) else a for a in draw(small))
    _, tangent = torch.func.jvp(lambda x: small(x, y, w, edge_index, n), (x,), (x,))
    assert relative(tangent, small(x, y, w, edge_index, n)) < 1e-12  # linear in x


def test_forbidden_path_is_refused():
    with pytest.raises(ValueError, match=r"allowed by O\(3\).*2x1o ⊗ 1x1o -> 2x1o"):
        TensorProductScatter("2x1o", "1o", "2x1o", [(0, 0, 0)])


def test_wrong_shapes_and_nodes_are_refused(small):
    x, y, w, edge_index, n = draw(small)
    with pytest.raises(ValueError, match=r"weights: expected shape \(7, "):
        small(x, y, w[:, :-1], edge_index, n)
    with pytest.raises(ValueError, match="edge_index: expected nodes 0 to 3, got"):
        small(x, y, w, edge_index + 3, n)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_computes_too():
    irreps, filters = o3.Irreps("16x0e+16x1o"), o3.Irreps("0e+1o")
    op = TensorProductScatter(irreps, filters, *all_paths(irreps, filters, irreps), implementation="fused")
    arguments = [a.detach() if isinstance(a, Tensor) else a for a in draw(op, n_nodes=200, n_edges=20_000)]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        op(*arguments)  # the pool exists now
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads: that is the test
            child = os.fork()
        if child == 0:
            signal.alarm(20)  # rather than hang
            op(*arguments)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("linear", [False, True])
def test_derivatives_that_are_not_asked_for_do_not_change_the_others(small, linear):
    x, y, w, edge_index, n = draw(small)
    hidden, matrix = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((7, 3), (3, w.shape[1])))
    leaves = [x, y, hidden, matrix] if linear else [x, y, w]

    def second(wanted: list[Tensor], first: list[Tensor]) -> tuple[Tensor, ...]:
        out = small(x, y, LinearWeights(hidden, matrix) if linear else w, edge_index, n)
        gradients = torch.autograd.grad((out**2).sum(), first, create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in gradients), wanted)

    for asked in itertools.chain.from_iterable(itertools.combinations(leaves, k) for k in (1, 2, 3)):
        expected = second(leaves, list(asked))
        for one, alone in zip(leaves, expected, strict=True):
            (found,) = second([one], list(asked))
            torch.testing.assert_close(found, alone, rtol=1e-12, atol=1e-12)


def test_weights_that_are_products_of_matrices_have_derivatives_of_every_order(small, monkeypatch):
    x, y, w, edge_index, n = draw(small)
    hidden, matrix = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((7, 3), (3, w.shape[1])))

    def function(*arguments: Tensor) -> Tensor:
        return small(*arguments[:2], LinearWeights(*arguments[2:]), edge_index, n)

    leaves = (x, y, hidden, matrix)
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)
    twin = TensorProductScatter(small.irreps_in, small.irreps_filter, *_of(small), implementation="plain")

    def third(op: TensorProductScatter) -> list[Tensor]:
        tensors = [op(x, y, LinearWeights(hidden, matrix), edge_index, n)]
        for _ in range(3):
            total = sum((t**2).sum() for t in tensors)
            tensors = list(torch.autograd.grad(total, leaves, create_graph=True))
        return tensors

    expected = third(twin)
    for kept in (linear_weights.KEEP, 0):  # 0: weights are formed again, node after node
        monkeypatch.setattr(linear_weights, "KEEP", kept)
        for a, b in zip(third(small), expected, strict=True):
            assert relative(a, b) < 1e-11


def _of(op: TensorProductScatter):
    return op.plan.slots, op.plan.paths
