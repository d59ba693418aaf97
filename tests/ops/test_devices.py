"""Operations on a second device and on "meta": choice of the implementation, values and derivatives."""

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from symnets.ops import (
    LinearWeights,
    RadialTable,
    SymmetricContraction,
    TabulatedProductScatter,
    TensorProductScatter,
    all_paths,
    pairs,
)
from tests.ops.products import Arguments, draw, largest_error
from tests.second_device import on_device, second_device

DTYPES = [(torch.float64, 1e-12), pytest.param(torch.float32, 1e-4, marks=pytest.mark.slow)]
"""Dtypes, with the relative tolerance for rounding in second derivatives."""


@pytest.fixture(autouse=True)
def _device() -> Iterator[None]:
    with second_device():
        yield


def product(**options: str) -> TensorProductScatter:
    slots, paths = all_paths("3x0e+2x1o", "0e+1o+2e", "0e+1o+1e")
    return TensorProductScatter("3x0e+2x1o", "0e+1o+2e", slots, paths, **options)  # pyright: ignore


def moved(arguments: Arguments) -> Arguments:
    *tensors, n = arguments
    return *(t.detach().to("cuda").requires_grad_(t.requires_grad) for t in tensors), n  # pyright: ignore


def both_orders(function: Callable[..., Tensor], variables: tuple[Tensor, ...]) -> list[Tensor]:
    """Value, gradient, and gradient of a function of the gradient."""
    out = function(*variables)
    first = torch.autograd.grad((out**2).sum(), variables, create_graph=True)
    return [out, *first, *torch.autograd.grad(sum((g**2).sum() for g in first), variables)]


def assert_same(there: list[Tensor], here: list[Tensor], tolerance: float) -> None:
    assert all(map(on_device, there))
    assert largest_error([tensor.cpu() for tensor in there], here) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_product_and_its_derivatives(layout, dtype, tolerance):
    here = product(layout=layout)
    there = copy.deepcopy(here).to("cuda")
    *variables, edge_index, n = draw(here, dtype)
    expected = both_orders(lambda *v: here(*v, edge_index, n), tuple(variables))
    *variables, edge_index, n = moved((*variables, edge_index, n))
    assert_same(both_orders(lambda *v: there(*v, edge_index, n), tuple(variables)), expected, tolerance)


def test_product_with_linear_weights_of_pairs():
    here = product(layout="ir_mul")
    there = copy.deepcopy(here).to("cuda")
    torch.manual_seed(0)
    x, y, _, edge_index, n = draw(here)
    pair = torch.tensor([0, 0, 1, 2, 1, 3, 4])
    variables = (x, y, torch.randn(5, 3).double().requires_grad_())
    variables = (*variables, torch.randn(3, here.weight_numel).double().requires_grad_())
    results = []
    for op, place in ((here, "cpu"), (there, "cuda")):
        mine = tuple(v.detach().to(place).requires_grad_() for v in variables)

        def call(x, y, hidden, matrix, op=op, place=place):
            weights = LinearWeights(hidden, matrix)
            return op(x, y, weights, edge_index.to(place), n, pair.to(place))

        results.append(both_orders(call, mine))
    assert_same(results[1], results[0], 1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_symmetric_contraction_and_its_derivatives(dtype, tolerance):
    here = SymmetricContraction("2x0e+2x1o", "2x0e+2x1o", 3)
    there = copy.deepcopy(here).to("cuda")
    torch.manual_seed(0)
    species = torch.tensor([0, 1, 0])
    x, w = torch.randn(3, 8, dtype=dtype), torch.randn(2, here.n_paths, 2, dtype=dtype)
    variables = x.requires_grad_(), w.requires_grad_()
    expected = both_orders(lambda x, w: here(x, w, species), variables)
    variables = tuple(v.detach().to("cuda").requires_grad_() for v in variables)
    results = both_orders(lambda x, w: there(x, w, species.to("cuda")), variables)
    assert_same(results, expected, tolerance)


def test_tabulated_product():
    plan = product(layout="ir_mul").plan
    table = RadialTable(lambda r: torch.sin(r[:, None] * torch.arange(plan.weight_numel)), 3.0, 50)
    here = TabulatedProductScatter(plan, table.double())
    there = copy.deepcopy(here).to("cuda")
    x, y, _, edge_index, n = draw(product(layout="ir_mul"))
    r = torch.linspace(0.5, 2.9, 7, dtype=torch.float64)
    results = []
    for op, place in ((here, "cpu"), (there, "cuda")):
        mine = tuple(v.detach().to(place).requires_grad_() for v in (x, y, r))
        out = op(*mine, edge_index.to(place), n)
        results.append([out, *torch.autograd.grad((out**2).sum(), mine)])
    assert_same(results[1], results[0], 1e-12)
    with pytest.raises(ValueError, match="distances: expected 0 to 3"):
        there(x.detach().to("cuda"), y.detach().to("cuda"), r.to("cuda") + 1, edge_index.to("cuda"), n)


@pytest.mark.parametrize(
    "call",
    [
        lambda: product(implementation="fused").to("cuda")(*moved(draw(product()))),
        lambda: SymmetricContraction("2x0e", "2x0e", 2, implementation="fused").to("cuda")(
            torch.ones(1, 2).to("cuda"), torch.ones(1, 2, 2).to("cuda"), torch.zeros(1).long().to("cuda")
        ),
    ],
    ids=["product", "contraction"],
)
def test_fused_implementation_is_refused_on_the_device(call):
    with pytest.raises(ValueError, match=r'"fused": expected float32 or float64 on the CPU.*cuda:0.*"auto"'):
        call()


def test_tables_on_another_device_are_refused():
    op = product().to("cuda")
    x, y, w, edge_index, n = draw(product())
    with pytest.raises(ValueError, match=r"filters: expected .* on cuda:0, got .* on cpu"):
        op(x.detach().to("cuda"), y, w, edge_index.to("cuda"), n)


def test_pairs_on_the_device_equal_those_on_the_cpu():
    edge_index = torch.tensor([[0, 1, 2, 0, 1], [1, 0, 0, 2, 1]])
    shift = torch.zeros(5, 3).double()
    here, there = pairs(edge_index, shift), pairs(edge_index.to("cuda"), shift.to("cuda"))
    for mine, theirs in zip(here, there, strict=True):
        assert on_device(theirs)
        assert torch.equal(theirs.cpu(), mine)


def test_a_table_built_in_inference_mode_can_be_used_in_training_on_the_device():
    there = SymmetricContraction("2x0e+2x1o", "2x0e", 2).to("cuda")
    arguments = (torch.randn(3, 8), torch.randn(2, there.n_paths, 2))
    x, w = (a.double().to("cuda") for a in arguments)
    species = torch.tensor([0, 1, 0]).to("cuda")
    with torch.inference_mode():
        there(x, w, species)
    there(x.requires_grad_(), w, species).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_shapes_on_the_meta_device(layout):
    op = product(layout=layout)
    x, y, w, edge_index, n = draw(op)
    expected = op(x, y, w, edge_index, n)
    out = copy.deepcopy(op).to("meta")(*(t.detach().to("meta") for t in (x, y, w, edge_index)), n)
    assert (out.shape, out.dtype, out.device.type) == (expected.shape, expected.dtype, "meta")
    contraction = SymmetricContraction("2x0e+2x1o", "2x0e+2x1o", 3)
    weights = torch.empty(2, contraction.n_paths, 2, device="meta")
    out = contraction(torch.empty(3, 8, device="meta"), weights, torch.empty(3, dtype=int, device="meta"))
    assert (out.shape, out.device.type) == ((3, 8), "meta")
