from ._classifier import NORMALISATIONS as NORMALISATIONS
from ._classifier import ClassifierConfig as ClassifierConfig
from ._classifier import Normalisation as Normalisation
from ._classifier import classified_images as classified_images
from ._classifier_stability import ARCHIVED as ARCHIVED
from ._classifier_stability import PUBLISHED as PUBLISHED
from ._classifier_stability import SOURCE as SOURCE
from ._classifier_stability import DeformedConfig as DeformedConfig
from ._classifier_stability import before_and_after as before_and_after
from ._classifier_stability import folds_expected as folds_expected
from ._classifier_stability import logits as logits
from ._classifier_stability import shown as shown
from ._classifier_training import SHAPES as SHAPES
from ._classifier_training import Precision as Precision
from ._classifier_training import Trained as Trained
from ._classifier_training import train_classifier as train_classifier
from ._decompression import DecompressedConfig as DecompressedConfig
from ._decompression import JammedState as JammedState
from ._decompression import decompress as decompress
from ._dense_nets import LOSSES as LOSSES
from ._dense_nets import NetConfig as NetConfig
from ._dense_nets import batch_key as batch_key
from ._dense_nets import generator as generator
from ._dense_nets import initial_net as initial_net
from ._dense_nets import minimise as minimise
from ._dense_nets import patterns as patterns
from ._packing import contacts as contacts
from ._packing import decompress_packing as decompress_packing
from ._packing import random_packing as random_packing
from ._packing import relax as relax
from ._packing_curves import Curves as Curves
from ._packing_curves import curves as curves
from ._packing_curves import threshold as threshold
from ._test_error import EarlyStopping as EarlyStopping
from ._test_error import FromStart as FromStart
from ._test_error import ImageNetConfig as ImageNetConfig
from ._test_error import held_out as held_out

__all__ = [
    "ARCHIVED",
    "LOSSES",
    "NORMALISATIONS",
    "PUBLISHED",
    "SHAPES",
    "SOURCE",
    "ClassifierConfig",
    "Curves",
    "DecompressedConfig",
    "DeformedConfig",
    "EarlyStopping",
    "FromStart",
    "ImageNetConfig",
    "JammedState",
    "NetConfig",
    "Normalisation",
    "Precision",
    "Trained",
    "batch_key",
    "before_and_after",
    "classified_images",
    "contacts",
    "curves",
    "decompress",
    "decompress_packing",
    "folds_expected",
    "generator",
    "held_out",
    "initial_net",
    "logits",
    "minimise",
    "patterns",
    "random_packing",
    "relax",
    "shown",
    "threshold",
    "train_classifier",
]
