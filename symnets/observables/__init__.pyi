from ._as_found import as_found as as_found
from ._as_found import copy_inputs as copy_inputs
from ._attractors import Attractors as Attractors
from ._attractors import attractors as attractors
from ._attractors import merge_neurons as merge_neurons
from ._classification import ClassificationError as ClassificationError
from ._classification import classification_error as classification_error
from ._compression import Compression as Compression
from ._compression import compression as compression
from ._errors import Error as Error
from ._errors import Errors as Errors
from ._errors import Predictions as Predictions
from ._errors import errors as errors
from ._errors import predictions as predictions
from ._filters import FilterProjections as FilterProjections
from ._filters import channel_shuffled as channel_shuffled
from ._filters import filter_projections as filter_projections
from ._group_average import group_average as group_average
from ._infinite_width import InfiniteWidth as InfiniteWidth
from ._infinite_width import infinite_width as infinite_width
from ._margins import Margins as Margins
from ._margins import margins as margins
from ._margins import scalar_outputs as scalar_outputs
from ._neurons import Amplification as Amplification
from ._neurons import Neurons as Neurons
from ._neurons import amplification as amplification
from ._neurons import neurons as neurons
from ._representations import hidden_representations as hidden_representations
from ._sensitivity import Sensitivity as Sensitivity
from ._sensitivity import sensitivity as sensitivity
from ._shift_consistency import ShiftConsistency as ShiftConsistency
from ._shift_consistency import shift_consistency as shift_consistency
from ._stability._features import OUTPUT as OUTPUT
from ._stability._features import OutputSelector as OutputSelector
from ._stability._features import select_layers as select_layers
from ._stability._features import select_output as select_output
from ._stability._features import selector_of as selector_of
from ._stability._measure import BatchNorm as BatchNorm
from ._stability._measure import stability as stability
from ._stability._perturbed_images import DeformationField as DeformationField
from ._stability._perturbed_images import check_images as check_images
from ._stability._perturbed_images import check_strength as check_strength
from ._stability._result import LayerEstimates as LayerEstimates
from ._stability._result import Stability as Stability
from ._tangent_kernel._force_field import PotentialTangentKernel as PotentialTangentKernel
from ._tangent_kernel._force_field import potential_tangent_kernel as potential_tangent_kernel
from ._tangent_kernel._kernel import tangent_kernel as tangent_kernel
from ._tangent_kernel._members import single_nets as single_nets
from ._tangent_kernel._operator import TangentKernelOperator as TangentKernelOperator
from ._tangent_kernel._points import n_points as n_points
from ._tangent_kernel._points import take_points as take_points
from ._tangent_kernel._write import write_tangent_kernel as write_tangent_kernel
from ._tensor_errors import TensorError as TensorError
from ._tensor_errors import TensorValues as TensorValues
from ._tensor_errors import tensor_error as tensor_error
from ._tensor_errors import tensor_predictions as tensor_predictions

__all__ = [
    "OUTPUT",
    "Amplification",
    "Attractors",
    "BatchNorm",
    "ClassificationError",
    "Compression",
    "DeformationField",
    "Error",
    "Errors",
    "FilterProjections",
    "InfiniteWidth",
    "LayerEstimates",
    "Margins",
    "Neurons",
    "OutputSelector",
    "PotentialTangentKernel",
    "Predictions",
    "Sensitivity",
    "ShiftConsistency",
    "Stability",
    "TangentKernelOperator",
    "TensorError",
    "TensorValues",
    "amplification",
    "as_found",
    "attractors",
    "channel_shuffled",
    "check_images",
    "check_strength",
    "classification_error",
    "compression",
    "copy_inputs",
    "errors",
    "filter_projections",
    "group_average",
    "hidden_representations",
    "infinite_width",
    "margins",
    "merge_neurons",
    "n_points",
    "neurons",
    "potential_tangent_kernel",
    "predictions",
    "scalar_outputs",
    "select_layers",
    "select_output",
    "selector_of",
    "sensitivity",
    "shift_consistency",
    "single_nets",
    "stability",
    "take_points",
    "tangent_kernel",
    "tensor_error",
    "tensor_predictions",
    "write_tangent_kernel",
]
