from ._config import DataConfig as DataConfig
from ._config import InvariantConfig as InvariantConfig
from ._config import LossConfig as LossConfig
from ._config import MACEConfig as MACEConfig
from ._config import NequIPConfig as NequIPConfig
from ._config import OptimizerConfig as OptimizerConfig
from ._config import TrainConfig as TrainConfig
from ._data import load_data as load_data
from ._model import build_model as build_model
from ._training import train as train

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
