from ._config import DataConfig as DataConfig
from ._config import LossConfig as LossConfig
from ._config import OptimizerConfig as OptimizerConfig
from ._config import TrainConfig as TrainConfig
from ._data import load_data as load_data
from ._finetune_config import FinetuneConfig as FinetuneConfig
from ._finetune_plan import fit_epochs as fit_epochs
from ._model import build_model as build_model
from ._model import training_loss as training_loss
from ._model_config import ModelConfig as ModelConfig
from ._tensor_config import TensorConfig as TensorConfig
from ._training import train as train

__all__ = [
    "DataConfig",
    "FinetuneConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "TensorConfig",
    "TrainConfig",
    "build_model",
    "fit_epochs",
    "load_data",
    "train",
    "training_loss",
]
