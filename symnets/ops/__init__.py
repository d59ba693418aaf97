"""The hot operations, each with a plain torch twin."""

from symnets.ops.linear_weights import LinearWeights
from symnets.ops.paths import Path, Plan, all_paths
from symnets.ops.symmetric_contraction import SymmetricContraction
from symnets.ops.tensor_product_scatter import TensorProductScatter

__all__ = ["LinearWeights", "Path", "Plan", "SymmetricContraction", "TensorProductScatter", "all_paths"]
