from . import cli as cli
from . import data as data
from . import demo as demo
from . import deploy as deploy
from . import diffeo as diffeo
from . import estimates as estimates
from . import experiments as experiments
from . import models as models
from . import native as native
from . import nn as nn
from . import observables as observables
from . import ops as ops
from . import potentials as potentials
from . import report as report
from . import setups as setups
from . import simulate as simulate
from . import sweeps as sweeps
from . import testing as testing
from . import training as training

__version__: str

__all__ = [
    "cli",
    "data",
    "demo",
    "deploy",
    "diffeo",
    "estimates",
    "experiments",
    "models",
    "native",
    "nn",
    "observables",
    "ops",
    "potentials",
    "report",
    "setups",
    "simulate",
    "sweeps",
    "testing",
    "training",
]
