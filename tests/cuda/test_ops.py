"""Operations on a GPU against the compiled loops of the CPU, and the twin under torch.compile."""

import copy
from collections.abc import Callable, Sequence

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
    has_cuequivariance,
    has_cuequivariance_kernels,
    pairs,
)
from tests.ops.products import draw, largest_error

DTYPES = [(torch.float64, 1e-11), (torch.float32, 1e-4)]
"""Relative tolerances by dtype, for rounding: a GPU sums in another order."""


def product(channels: int = 3, **options: str) -> TensorProductScatter:
    features = f"{channels}x0e+{channels}x1o"
    slots, paths = all_paths(features, "0e+1o+2e", "0e+1o+1e")
    return TensorProductScatter(features, "0e+1o+2e", slots, paths, **options)  # pyright: ignore


def leaves(tensors: Sequence[Tensor], device: torch.device | str) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().to(device).requires_grad_() for tensor in tensors)


def both_orders(function: Callable[..., Tensor], variables: tuple[Tensor, ...]) -> list[Tensor]:
    """Value, gradient, and gradient of a function of the gradient."""
    out = function(*variables)
    first = torch.autograd.grad((out**2).sum(), variables, create_graph=True)
    return [out, *first, *torch.autograd.grad(sum((g**2).sum() for g in first), variables)]


def difference(there: list[Tensor], here: list[Tensor]) -> float:
    return largest_error([tensor.cpu() for tensor in there], here)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_product_and_its_derivatives(layout, dtype, tolerance, device):
    here = product(layout=layout, implementation="fused")
    there = product(layout=layout).to(device)
    *tables, edge_index, n = draw(here, dtype)
    expected = both_orders(lambda *v: here(*v, edge_index, n), leaves(tables, "cpu"))
    there_index = edge_index.to(device)
    found = both_orders(lambda *v: there(*v, there_index, n), leaves(tables, device))
    assert all(tensor.device.type == device.type for tensor in found)
    assert difference(found, expected) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_product_of_many_edges(dtype, tolerance, device):
    """Sizes that fill the blocks of a GPU and are not multiples of them."""
    here = product(33, layout="ir_mul", implementation="fused")
    there = product(33, layout="ir_mul").to(device)
    *tables, edge_index, n = draw(here, dtype, n_nodes=300, n_edges=3001)
    with torch.no_grad():
        expected = here(*tables, edge_index, n)
        found = there(*(t.to(device) for t in tables), edge_index.to(device), n)
    assert difference([found], [expected]) < tolerance


def test_product_with_linear_weights_of_pairs(device):
    here = product(layout="ir_mul", implementation="fused")
    there = product(layout="ir_mul").to(device)
    torch.manual_seed(0)
    x, y, _, edge_index, n = draw(here)
    pair = torch.tensor([0, 0, 1, 2, 1, 3, 4])
    factors = torch.randn(5, 3).double(), torch.randn(3, here.weight_numel).double()
    results = []
    for op, place in ((here, torch.device("cpu")), (there, device)):
        edges, pair_there = edge_index.to(place), pair.to(place)

        def call(x, y, hidden, matrix, op=op, edges=edges, pair=pair_there):
            return op(x, y, LinearWeights(hidden, matrix), edges, n, pair)

        results.append(both_orders(call, leaves((x, y, *factors), place)))
    assert difference(results[1], results[0]) < 1e-11


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_symmetric_contraction_and_its_derivatives(dtype, tolerance, device):
    here = SymmetricContraction("5x0e+5x1o", "5x0e+5x1o", 3, implementation="fused")
    there = SymmetricContraction("5x0e+5x1o", "5x0e+5x1o", 3).to(device)
    torch.manual_seed(0)
    species = torch.tensor([0, 1, 0, 2, 1])
    tables = torch.randn(5, 20, dtype=dtype), torch.randn(3, here.n_paths, 5, dtype=dtype)
    expected = both_orders(lambda x, w: here(x, w, species), leaves(tables, "cpu"))
    found = both_orders(lambda x, w: there(x, w, species.to(device)), leaves(tables, device))
    assert difference(found, expected) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_tabulated_product_and_its_gradient(dtype, tolerance, device):
    plan = product(layout="ir_mul").plan
    waves = torch.arange(1, plan.weight_numel + 1, dtype=torch.float64)
    table = RadialTable(lambda r: torch.sin(r[:, None] * waves / 9), 3.0, 50, dtype=dtype)
    here = TabulatedProductScatter(plan, table, implementation="fused")
    there = TabulatedProductScatter(plan, copy.deepcopy(table)).to(device)
    x, y, _, edge_index, n = draw(product(layout="ir_mul"), dtype)
    r = torch.linspace(0.5, 2.9, 7, dtype=dtype)
    results = []
    for op, place in ((here, torch.device("cpu")), (there, device)):
        mine = leaves((x, y, r), place)
        out = op(*mine, edge_index.to(place), n)
        results.append([out, *torch.autograd.grad((out**2).sum(), mine)])
    assert difference(results[1], results[0]) < tolerance
    with pytest.raises(ValueError, match="distances: expected 0 to 3"):
        there(*(t.detach().to(device) for t in (x, y, r + 1)), edge_index.to(device), n)


def test_pairs_are_those_of_the_cpu(device):
    edge_index = torch.tensor([[0, 1, 2, 0, 1], [1, 0, 0, 2, 1]])
    shift = torch.zeros(5, 3).double()
    for mine, theirs in zip(
        pairs(edge_index, shift), pairs(edge_index.to(device), shift.to(device)), strict=True
    ):
        assert torch.equal(theirs.cpu(), mine)


def test_compiled_loops_are_refused_on_the_device(device):
    if device.type == "cpu":
        pytest.skip("they are the CPU's")
    op = product(implementation="fused").to(device)
    *tables, edge_index, n = draw(op)
    with pytest.raises(ValueError, match=r'"fused": expected float32 or float64 on the CPU.*use "auto"'):
        op(*(t.detach().to(device) for t in tables), edge_index.to(device), n)


@pytest.mark.skipif(not has_cuequivariance(), reason="cuequivariance_torch is not installed")
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("channels", [3, 32])
def test_cuequivariance(channels, dtype, tolerance, device):
    """cuEquivariance's kernels on a GPU, where they are installed."""
    if device.type == "cuda" and not has_cuequivariance_kernels():
        pytest.skip("cuequivariance_ops_torch, which has the CUDA kernels, is not installed")
    here = product(channels, layout="ir_mul", implementation="fused")
    there = product(channels, layout="ir_mul", implementation="cuequivariance").to(device)
    *tables, edge_index, n = draw(here, dtype)
    expected = both_orders(lambda *v: here(*v, edge_index, n), leaves(tables, "cpu"))
    found = both_orders(lambda *v: there(*v, edge_index.to(device), n), leaves(tables, device))
    assert difference(found, expected) < tolerance


@pytest.mark.filterwarnings("default")  # the compiler warns about TensorFloat32 and more
@pytest.mark.parametrize("name", ["product", "contraction"])
def test_the_twin_under_torch_compile(name, device):
    """With inductor on a GPU, and on a CPU with a backend that needs no compiler."""
    torch.manual_seed(0)
    if name == "product":
        op = product(4, implementation="plain").to(device)
        *tables, edge_index, n = draw(op, torch.float32, n_nodes=20, n_edges=100)
        rest = (edge_index.to(device), n)
    else:
        op = SymmetricContraction("4x0e+4x1o", "4x0e+4x1o", 2, implementation="plain").to(device)
        tables, rest = [torch.randn(5, 16), torch.randn(2, op.n_paths, 4)], (torch.arange(5).to(device) % 2,)
    backend = "aot_eager" if device.type == "cpu" else "inductor"
    results = []
    for function in (op, torch.compile(op, fullgraph=True, backend=backend)):
        mine = leaves(tables, device)
        out = function(*mine, *rest)
        results.append([out, *torch.autograd.grad((out**2).sum(), mine)])
    assert difference(results[1], [tensor.cpu() for tensor in results[0]]) < 1e-4
