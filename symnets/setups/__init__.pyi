from ._classifier import NORMALISATIONS as NORMALISATIONS
from ._classifier import ClassifierConfig as ClassifierConfig
from ._classifier import Normalisation as Normalisation
from ._classifier import classified_images as classified_images
from ._classifier_stability import ARCHIVE_SOURCE as ARCHIVE_SOURCE
from ._classifier_stability import ARCHIVED as ARCHIVED
from ._classifier_stability import PUBLISHED as PUBLISHED
from ._classifier_stability import DeformedConfig as DeformedConfig
from ._classifier_stability import logit_columns as logit_columns
from ._classifier_stability import measure_stability as measure_stability
from ._classifier_stability import stability_row as stability_row
from ._classifier_stability import without_folding_warnings as without_folding_warnings
from ._classifier_training import SHAPES as SHAPES
from ._classifier_training import Precision as Precision
from ._classifier_training import TrainedClassifier as TrainedClassifier
from ._classifier_training import initial_classifier as initial_classifier
from ._classifier_training import train_classifier as train_classifier
from ._compression_crossing import CompressionCrossing as CompressionCrossing
from ._curvature import Curvature as Curvature
from ._curvature import loss_curvature as loss_curvature
from ._decompression import DecompressedConfig as DecompressedConfig
from ._decompression import JammedState as JammedState
from ._decompression import decompress_net as decompress_net
from ._dense_nets import LOSSES as LOSSES
from ._dense_nets import NetConfig as NetConfig
from ._dense_nets import batch_key as batch_key
from ._dense_nets import initial_net as initial_net
from ._dense_nets import minimise as minimise
from ._dense_nets import patterns as patterns
from ._dense_nets import seeded_generator as seeded_generator
from ._gaussian_teachers import regression_error as regression_error
from ._held_out import EarlyStopping as EarlyStopping
from ._held_out import ParityNetConfig as ParityNetConfig
from ._held_out import held_out as held_out
from ._hierarchy_curves import LEARNED as LEARNED
from ._hierarchy_curves import estimate_jointly as estimate_jointly
from ._hierarchy_curves import hierarchy_curves as hierarchy_curves
from ._hierarchy_curves import sample_complexity as sample_complexity
from ._hierarchy_curves import size_below_level as size_below_level
from ._hierarchy_nets import HierarchicalNet as HierarchicalNet
from ._hierarchy_nets import HierarchyConfig as HierarchyConfig
from ._hierarchy_nets import PatchLayer as PatchLayer
from ._hierarchy_nets import TrainedHierarchy as TrainedHierarchy
from ._hierarchy_nets import measure_hierarchies as measure_hierarchies
from ._hierarchy_nets import train_on_hierarchy as train_on_hierarchy
from ._kernel_patterns import bias_kernel as bias_kernel
from ._kernel_patterns import compressed as compressed
from ._kernel_patterns import point_svm as point_svm
from ._noisy_perceptron import NoisyPerceptron as NoisyPerceptron
from ._noisy_perceptron import interface_points as interface_points
from ._noisy_perceptron import train_perceptron as train_perceptron
from ._one_pattern import fixed_point as fixed_point
from ._one_pattern import growth_rate as growth_rate
from ._one_pattern import one_pattern_net as one_pattern_net
from ._one_pattern import position_field as position_field
from ._one_pattern import rescaled_time as rescaled_time
from ._packing import count_contacts as count_contacts
from ._packing import decompress_packing as decompress_packing
from ._packing import random_packing as random_packing
from ._packing import relax_packing as relax_packing
from ._packing_averages import PackingAverages as PackingAverages
from ._packing_averages import average_packings as average_packings
from ._packing_averages import jamming_threshold as jamming_threshold
from ._regime_config import RegimeConfig as RegimeConfig
from ._regime_config import RegimeLoss as RegimeLoss
from ._regime_descent import descend_regime as descend_regime
from ._regime_kernels import regime_kernels as regime_kernels
from ._regime_kernels import runs_by_task as runs_by_task
from ._regime_start import regime_net as regime_net
from ._regime_start import regime_patterns as regime_patterns
from ._regimes import TrainedRegime as TrainedRegime
from ._regimes import train_regime as train_regime
from ._regimes import weight_change as weight_change

__all__ = [
    "ARCHIVED",
    "ARCHIVE_SOURCE",
    "LEARNED",
    "LOSSES",
    "NORMALISATIONS",
    "PUBLISHED",
    "SHAPES",
    "ClassifierConfig",
    "CompressionCrossing",
    "Curvature",
    "DecompressedConfig",
    "DeformedConfig",
    "EarlyStopping",
    "HierarchicalNet",
    "HierarchyConfig",
    "JammedState",
    "NetConfig",
    "NoisyPerceptron",
    "Normalisation",
    "PackingAverages",
    "ParityNetConfig",
    "PatchLayer",
    "Precision",
    "RegimeConfig",
    "RegimeLoss",
    "TrainedClassifier",
    "TrainedHierarchy",
    "TrainedRegime",
    "average_packings",
    "batch_key",
    "bias_kernel",
    "classified_images",
    "compressed",
    "count_contacts",
    "decompress_net",
    "decompress_packing",
    "descend_regime",
    "estimate_jointly",
    "fixed_point",
    "growth_rate",
    "held_out",
    "hierarchy_curves",
    "initial_classifier",
    "initial_net",
    "interface_points",
    "jamming_threshold",
    "logit_columns",
    "loss_curvature",
    "measure_hierarchies",
    "measure_stability",
    "minimise",
    "one_pattern_net",
    "patterns",
    "point_svm",
    "position_field",
    "random_packing",
    "regime_kernels",
    "regime_net",
    "regime_patterns",
    "regression_error",
    "relax_packing",
    "rescaled_time",
    "runs_by_task",
    "sample_complexity",
    "seeded_generator",
    "size_below_level",
    "stability_row",
    "train_classifier",
    "train_on_hierarchy",
    "train_perceptron",
    "train_regime",
    "weight_change",
    "without_folding_warnings",
]
