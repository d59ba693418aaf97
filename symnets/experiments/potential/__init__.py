"""Train a potential on labelled structures: configuration, data, model, training."""

from symnets.experiments.potential.build import build_model
from symnets.experiments.potential.config import (
    DataConfig,
    InvariantConfig,
    LossConfig,
    MACEConfig,
    NequIPConfig,
    OptimizerConfig,
    TrainConfig,
)
from symnets.experiments.potential.data import load_data
from symnets.experiments.potential.training import train

__all__ = [
    "DataConfig",
    "InvariantConfig",
    "LossConfig",
    "MACEConfig",
    "NequIPConfig",
    "OptimizerConfig",
    "TrainConfig",
    "build_model",
    "load_data",
    "train",
]
