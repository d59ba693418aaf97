"""Image nets of the experiments on stability: configuration, training, and D, G, R before and after it."""

from symnets.experiments.classifier.config import ClassifierConfig
from symnets.experiments.classifier.training import Trained, train_classifier

__all__ = ["ClassifierConfig", "Trained", "train_classifier"]
