"""The tensor product by cuequivariance's generic implementation on a CPU, if it is installed."""

import copy
import importlib.util
import pickle

import pytest
import torch
from e3nn import o3

from symnets.ops import TensorProductScatter
from tests.ops.products import Case, arguments, derivatives, draw, largest_error

INSTALLED = importlib.util.find_spec("cuequivariance_torch") is not None
needed = pytest.mark.skipif(not INSTALLED, reason="cuequivariance_torch is not installed")

CASES = {
    "equal channels": Case(
        (o3.Irreps("4x0e+4x1o"), o3.Irreps("0e+1o+2e"), o3.Irreps("4x0e+4x1o+4x1o+4x1e")),
        [
            (0, 0, 0, "uvu", True),
            (1, 1, 0, "uvu", True),
            (1, 2, 1, "uvu", True),
            (0, 1, 2, "uvu", True, 0.5),
            (1, 1, 3, "uvu", True),
        ],
        {},
    ),
    "unequal channels": Case(
        (o3.Irreps("4x1o+6x0e"), o3.Irreps("2x1o+0e"), o3.Irreps("4x1o+4x0e+6x1o")),
        [(0, 1, 0, "uvu", True), (0, 0, 1, "uvu", True), (1, 0, 2, "uvu", True)],
        {"irrep_normalization": "norm", "path_normalization": "path"},
    ),
}


@needed
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives_equal_the_plain_implementation(name, layout):
    op = CASES[name].op(layout=layout, implementation="cuequivariance")
    given = draw(op)
    ours = derivatives(op, given)
    op.implementation = "plain"
    assert largest_error(ours, derivatives(op, given)) < 1e-12


@needed
@pytest.mark.parametrize("n_edges", [0, 1])
def test_zero_or_one_edge_equals_the_plain_implementation(n_edges):
    op = CASES["equal channels"].op(implementation="cuequivariance")
    given = arguments(op, (torch.zeros(2, n_edges, dtype=torch.int64), 2, 3))
    ours = derivatives(op, given)
    op.implementation = "plain"
    assert largest_error(ours, derivatives(op, given)) < 1e-12


@needed
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda op: pickle.loads(pickle.dumps(op))])
def test_copies_compute_the_same(copied):
    op = CASES["unequal channels"].op(implementation="cuequivariance")
    given = draw(op)
    expected = op(*given)
    assert torch.equal(copied(op)(*given), expected)


@needed
def test_segment_width_is_the_greatest_common_divisor_of_the_multiplicities():
    op = TensorProductScatter("64x0e+32x1o", "0e", "64x0e+32x1o", [(0, 0, 0), (1, 0, 1)])
    weights, features, filters, out = op._cuequivariance.polynomial.operands
    assert [operand.segment_shape for operand in (weights, features, out)] == [(32,)] * 3
    assert [operand.size for operand in (weights, features, filters, out)] == [96, 160, 1, 160]
    assert filters.ndim == 0


@pytest.mark.skipif(INSTALLED, reason="cuequivariance_torch is installed")
def test_missing_package_raises_import_error():
    with pytest.raises(ImportError, match="cuequivariance_torch is not installed; pip install 'symnets"):
        CASES["equal channels"].op(implementation="cuequivariance")
