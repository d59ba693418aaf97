"""Errors of `TensorProductScatter` for invalid arguments."""

import re

import pytest
import torch
from e3nn import o3

from symnets.ops import TensorProductScatter


@pytest.mark.parametrize(
    ("irreps", "instructions", "message"),
    [
        (("2x1o", "1o", "2x1o"), [(0, 0, 0)], "allowed by O(3), got 2x1o ⊗ 1x1o -> 2x1o"),
        (("2x1o", "0e", "3x1o"), [(0, 0, 0)], "got 2x1o ⊗ 1x0e -> 3x1o"),
        (("2x1o", "0e", "2x1o"), [(0, 1, 0)], "expected a number from 0 to 0 for irreps_in2=1x0e, got 1"),
        (("2x1o", "0e", "2x1o"), [(0, 0, 0, "uvw", True)], 'expected connection mode "uvu" with weights'),
        (("2x1o", "0e", "2x1o"), [(0, 0, 0, "uvu", False)], "got (0, 0, 0, 'uvu', False)"),
        (("2x1o", "0e", "2x1o"), [(0, 0, 0, "uvu", True, -1.0)], "expected a path_weight of at least 0"),
        (("2x1o", "0e", "2x1o"), [(0, 0)], "expected (i_in1, i_in2, i_out,"),
        (("2x1o", "0e", "2x1o"), [], "instructions: expected at least one, got none"),
        (("0x1o", "0e", "0x1o"), [(0, 0, 0)], "irreps_in1: expected multiplicities of at least 1, got 0x1o"),
    ],
)
def test_wrong_instructions_are_refused(irreps, instructions, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        TensorProductScatter(*irreps, instructions)


def test_normalised_instructions_of_a_tensor_product_are_refused():
    # e3nn has replaced their path weights by its coefficients, which would be applied twice.
    product = o3.TensorProduct("2x1o", "0e", "2x1o", [(0, 0, 0, "uvu", True)], shared_weights=False)
    with pytest.raises(ValueError, match="pass those that it was constructed from"):
        TensorProductScatter("2x1o", "0e", "2x1o", product.instructions)


@pytest.mark.parametrize("name", ["layout", "irrep_normalization", "path_normalization", "implementation"])
def test_unknown_options_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: expected one of .*, got 'best'"):
        TensorProductScatter("2x1o", "0e", "2x1o", [(0, 0, 0)], **{name: "best"})


@pytest.fixture
def op():
    return TensorProductScatter("2x1o", "0e", "2x1o", [(0, 0, 0)])


def test_wrong_shapes_dtypes_and_nodes_are_refused(op):
    x, y, w, edge_index = torch.ones(3, 6), torch.ones(4, 1), torch.ones(4, 2), torch.zeros(2, 4).long()
    with pytest.raises(
        ValueError, match=r"weights: expected shape \(4, 2\) and dtype torch.float32 on cpu, got \(4, 1"
    ):
        op(x, y, w[:, :-1], edge_index, 3)
    with pytest.raises(ValueError, match=r"filters: .* got .* torch.float64"):
        op(x, y.double(), w, edge_index, 3)
    with pytest.raises(ValueError, match=r"weights: .* got .* on meta"):
        op(x, y, w.to("meta"), edge_index, 3)
    with pytest.raises(ValueError, match="edge_index: expected nodes 0 to 2, got"):
        op(x, y, w, edge_index + 3, 3)
    with pytest.raises(ValueError, match=r"edge_index: expected shape \(2, edges\) and dtype torch.int64"):
        op(x, y, w, edge_index.int(), 3)


def test_fused_refuses_unsupported_tensors(op):
    op.implementation = "fused"
    half = [torch.ones(s, dtype=torch.float16) for s in ((3, 6), (4, 1), (4, 2))]
    with pytest.raises(ValueError, match=r'implementation "fused": .* got torch.float16'):
        op(*half, torch.zeros(2, 4).long(), 3)
