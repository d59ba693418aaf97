from ._calculator import SymnetsCalculator as SymnetsCalculator
from ._compile import CompileError as CompileError
from ._compile import compile as compile
from ._compile import compile_error as compile_error
from ._md import MDRun as MDRun
from ._md import ThermodynamicEnsemble as ThermodynamicEnsemble
from ._md import n_steps as n_steps
from ._md import run_md as run_md
from ._relax import OptimizerName as OptimizerName
from ._relax import Relaxation as Relaxation
from ._relax import relax as relax
from ._skin import SkinnedNeighbors as SkinnedNeighbors
from ._thermodynamics import EnergyDrift as EnergyDrift
from ._thermodynamics import degrees_of_freedom as degrees_of_freedom
from ._thermodynamics import energy_drift as energy_drift
from ._thermodynamics import thermal_momenta as thermal_momenta
from ._unstable import Unstable as Unstable

__all__ = [
    "CompileError",
    "EnergyDrift",
    "MDRun",
    "OptimizerName",
    "Relaxation",
    "SkinnedNeighbors",
    "SymnetsCalculator",
    "ThermodynamicEnsemble",
    "Unstable",
    "compile",
    "compile_error",
    "degrees_of_freedom",
    "energy_drift",
    "n_steps",
    "relax",
    "run_md",
    "thermal_momenta",
]
