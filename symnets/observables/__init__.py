"""What is measured: pure functions of a model and data that leave both as found."""

from symnets.observables.classification import ClassificationError, classification_error
from symnets.observables.errors import Error, Errors, errors
from symnets.observables.margins import Margins, margins
from symnets.observables.predictions import Predictions, predictions

__all__ = [
    "ClassificationError",
    "Error",
    "Errors",
    "Margins",
    "Predictions",
    "classification_error",
    "errors",
    "margins",
    "predictions",
]
