"""The hot operations, each with a plain torch twin."""

from symnets.ops.tensor_product_scatter import Path, TensorProductScatter, all_paths

__all__ = ["Path", "TensorProductScatter", "all_paths"]
