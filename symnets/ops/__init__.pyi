from ._adjacency import pairs as pairs
from ._attention_product import AttentionLogits as AttentionLogits
from ._attention_product import AttentionProduct as AttentionProduct
from ._attention_product import AttentionSum as AttentionSum
from ._channel_product import ChannelProduct as ChannelProduct
from ._compiled_module import CompiledModule as CompiledModule
from ._compiled_module import optimized as optimized
from ._compiled_module import target_machine as target_machine
from ._contraction_plan import ContractionPlan as ContractionPlan
from ._contraction_plan import symmetric_basis as symmetric_basis
from ._couplings import release_sign as release_sign
from ._couplings import wigner_3j as wigner_3j
from ._cuequivariance import has_cuequivariance as has_cuequivariance
from ._cuequivariance import has_cuequivariance_kernels as has_cuequivariance_kernels
from ._fused_plan import path_groups as path_groups
from ._grouped_linear import Block as Block
from ._grouped_linear import group_rows as group_rows
from ._grouped_linear import grouped_linear as grouped_linear
from ._implementation import is_traced as is_traced
from ._layout import blocks as blocks
from ._layout import from_e3nn as from_e3nn
from ._layout import join as join
from ._layout import to_e3nn as to_e3nn
from ._linear_weights import LinearWeights as LinearWeights
from ._paths import Path as Path
from ._paths import Plan as Plan
from ._paths import Term as Term
from ._paths import all_paths as all_paths
from ._polynomial_code import NeededPartials as NeededPartials
from ._polynomial_code import term_chunks as term_chunks
from ._polynomial_code import write_polynomial_part as write_polynomial_part
from ._symmetric_contraction import SymmetricContraction as SymmetricContraction
from ._tabulated_product import RadialTable as RadialTable
from ._tabulated_product import SplineWeights as SplineWeights
from ._tabulated_product import TabulatedProductScatter as TabulatedProductScatter
from ._tensor_product_scatter import TensorProductScatter as TensorProductScatter
from ._vector_code import F64 as F64
from ._vector_code import I32 as I32
from ._vector_code import I64 as I64
from ._vector_code import Value as Value
from ._vector_code import VectorCode as VectorCode
from ._weight_code import WeightSplines as WeightSplines

__all__ = [
    "F64",
    "I32",
    "I64",
    "AttentionLogits",
    "AttentionProduct",
    "AttentionSum",
    "Block",
    "ChannelProduct",
    "CompiledModule",
    "ContractionPlan",
    "LinearWeights",
    "NeededPartials",
    "Path",
    "Plan",
    "RadialTable",
    "SplineWeights",
    "SymmetricContraction",
    "TabulatedProductScatter",
    "TensorProductScatter",
    "Term",
    "Value",
    "VectorCode",
    "WeightSplines",
    "all_paths",
    "blocks",
    "from_e3nn",
    "group_rows",
    "grouped_linear",
    "has_cuequivariance",
    "has_cuequivariance_kernels",
    "is_traced",
    "join",
    "optimized",
    "pairs",
    "path_groups",
    "release_sign",
    "symmetric_basis",
    "target_machine",
    "term_chunks",
    "to_e3nn",
    "wigner_3j",
    "write_polynomial_part",
]
