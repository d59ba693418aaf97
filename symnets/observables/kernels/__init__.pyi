from ._alignment import KernelChange as KernelChange
from ._alignment import alignment as alignment
from ._alignment import kernel_change as kernel_change
from ._eigenvectors import LabelProjections as LabelProjections
from ._eigenvectors import effective_rank as effective_rank
from ._eigenvectors import label_projections as label_projections
from ._eigenvectors import mutual_information as mutual_information
from ._flow import KernelFlow as KernelFlow
from ._flow import kernel_flow as kernel_flow
from ._intrinsic_dimension import IntrinsicDimension as IntrinsicDimension
from ._intrinsic_dimension import kernel_distances as kernel_distances
from ._intrinsic_dimension import twonn as twonn
from ._predictors import KernelRegression as KernelRegression
from ._predictors import KernelSVM as KernelSVM
from ._predictors import kernel_regression as kernel_regression
from ._predictors import kernel_svm as kernel_svm

__all__ = [
    "IntrinsicDimension",
    "KernelChange",
    "KernelFlow",
    "KernelRegression",
    "KernelSVM",
    "LabelProjections",
    "alignment",
    "effective_rank",
    "kernel_change",
    "kernel_distances",
    "kernel_flow",
    "kernel_regression",
    "kernel_svm",
    "label_projections",
    "mutual_information",
    "twonn",
]
