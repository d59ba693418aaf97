"""What is measured: pure functions of a model and data that leave both as found."""

from symnets.observables.channel_shuffle import channel_shuffled
from symnets.observables.classification import ClassificationError, classification_error
from symnets.observables.errors import Error, Errors, errors
from symnets.observables.filters import FilterProjections, filter_projections
from symnets.observables.margins import Margins, margins
from symnets.observables.predictions import Predictions, predictions
from symnets.observables.shift_consistency import ShiftConsistency, shift_consistency
from symnets.observables.stability import Estimate, Stability, stability

__all__ = [
    "ClassificationError",
    "Error",
    "Errors",
    "Estimate",
    "FilterProjections",
    "Margins",
    "Predictions",
    "ShiftConsistency",
    "Stability",
    "channel_shuffled",
    "classification_error",
    "errors",
    "filter_projections",
    "margins",
    "predictions",
    "shift_consistency",
    "stability",
]
