"""TensorProductScatter against e3nn's TensorProduct and a scatter, on random products and graphs."""

import pytest
import torch
from e3nn import o3
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from symnets.ops import LinearWeights, TensorProductScatter, all_paths
from tests.ops.products import Case, arguments, cases, derivatives, draw, graphs, largest_error, relative

LAYOUTS = st.sampled_from(["mul_ir", "ir_mul"])
SMALL = Case(
    tuple(map(o3.Irreps, ("2x0e+1x1o", "1x0e+2x1o", "2x0e+2x1o+1x0e+1x1e"))),  # pyright: ignore
    [(0, 0, 0, "uvu", True), (0, 1, 1, "uvu", True), (1, 1, 2, "uvu", True, 0.5), (1, 1, 3, "uvu", True)],
    {},
)


@settings(max_examples=8)
@given(cases(), graphs(), LAYOUTS)
def test_values_and_derivatives_equal_e3nn(case, graph, layout):
    assume(case.instructions)
    op = case.op(layout=layout, implementation="fused")
    theirs = derivatives(case.e3nn(layout), arguments(op, graph))
    for implementation in ("fused", "plain"):
        op.implementation = implementation
        assert largest_error(derivatives(op, arguments(op, graph)), theirs) < 1e-12


@pytest.mark.slow
@settings(max_examples=10)
@given(cases(), graphs(), LAYOUTS)
def test_values_and_derivatives_equal_e3nn_in_float32(case, graph, layout):
    assume(case.instructions)
    op = case.op(layout=layout, implementation="fused")
    single = arguments(op, graph, torch.float32)
    double = tuple(a.detach().double().requires_grad_() for a in single[:3]) + single[3:]
    theirs = [t.float() for t in derivatives(case.e3nn(layout), double)]  # pyright: ignore
    for implementation in ("fused", "plain"):
        op.implementation = implementation
        assert largest_error(derivatives(op, single), theirs) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_layer_equals_e3nn(dtype):
    irreps, filters = o3.Irreps("16x0e+8x1o+4x2e"), o3.Irreps("0e+1o+2e")
    slots, paths = all_paths(irreps, filters, irreps)
    case = Case((irreps, filters, slots), [(*path, "uvu", True) for path in paths], {})
    op = TensorProductScatter(irreps, filters, slots, paths)  # triples mean the same
    given_ = draw(op, dtype, n_nodes=20, n_edges=100)
    theirs = derivatives(case.e3nn("mul_ir", dtype), given_)
    assert largest_error(derivatives(op, given_), theirs) < (1e-12 if dtype == torch.float64 else 1e-5)
    assert op.irreps_out == slots


@pytest.mark.parametrize("implementation", ["fused", "plain"])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_gradients_of_first_and_second_order_are_finite_differences(implementation, layout):
    op = SMALL.op(implementation=implementation, layout=layout)
    x, y, w, edge_index, n = draw(op, n_nodes=3, n_edges=3)
    assert torch.autograd.gradcheck(lambda *a: op(*a, edge_index, n), (x, y, w))
    assert torch.autograd.gradgradcheck(lambda *a: op(*a, edge_index, n), (x, y, w))


def test_a_path_of_weight_zero_adds_nothing():
    irreps, paths = (o3.Irreps("3x1o"), o3.Irreps("0e+2e"), o3.Irreps("3x1o")), [(0, 0, 0), (0, 1, 0)]
    case = Case(irreps, [(*path, "uvu", True, weight) for path, weight in zip(paths, (1.0, 0.0))], {})  # noqa: B905
    op = case.op()
    given_ = draw(op)
    assert largest_error(derivatives(op, given_), derivatives(case.e3nn("mul_ir"), given_)) < 1e-12


def test_several_paths_into_one_slot_share_its_normalisation():
    irreps = o3.Irreps("3x1o"), o3.Irreps("0e+2e"), o3.Irreps("3x1o")
    case = Case(irreps, [(0, 0, 0, "uvu", True), (0, 1, 0, "uvu", True)], {})
    op = case.op()
    given_ = draw(op)
    assert relative(op(*given_), case.e3nn("mul_ir")(*given_)) < 1e-12


def test_ir_mul_returns_neighbouring_slots_as_one_block():
    op = SMALL.op(layout="ir_mul")
    assert str(op.irreps_out) == "2x0e+2x1o+1x0e+1x1e"
    merged = TensorProductScatter("1x0e+1x1o", "0e", "1x1o+1x1o", [(1, 0, 0), (1, 0, 1)], layout="ir_mul")
    assert str(merged.irreps_out) == "2x1o"
    one = torch.tensor([[0], [0]])
    row = merged(torch.tensor([[0.0, 1, 2, 3]]), torch.ones(1, 1), torch.tensor([[1.0, 10.0]]), one, 1)
    assert torch.allclose(row, torch.tensor([[1.0, 10, 2, 20, 3, 30]]))


@pytest.mark.parametrize("implementation", ["fused", "plain"])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_linear_weights_equal_their_product(implementation, layout):
    irreps = o3.Irreps("2x0e+2x1o"), o3.Irreps("1x0e+3x1o"), o3.Irreps("2x1o+2x0e")
    case = Case(irreps, [(0, 1, 0, "uvu", True), (1, 1, 1, "uvu", True)], {})
    op = case.op(implementation=implementation, layout=layout)
    x, y, w, edge_index, n = draw(op)
    hidden = w.detach()[:, :3].clone().requires_grad_()
    matrix = torch.linspace(-1, 1, 3 * op.weight_numel, dtype=x.dtype).view(3, -1)
    given_, product = (x, y, hidden, edge_index, n), case.e3nn(layout)
    ours = derivatives(lambda x, y, h, *graph: op(x, y, LinearWeights(h, matrix), *graph), given_)
    theirs = derivatives(lambda x, y, h, *graph: product(x, y, h @ matrix, *graph), given_)
    assert largest_error(ours, theirs) < 1e-12
