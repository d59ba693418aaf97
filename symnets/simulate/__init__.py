"""Force fields at work: ASE calculator, molecular dynamics, relaxation."""

from symnets.simulate.calculator import SymnetsCalculator
from symnets.simulate.compile import CompileError, compile, compile_error
from symnets.simulate.drift import EnergyDrift, energy_drift
from symnets.simulate.md import MDRun, run_md
from symnets.simulate.momenta import degrees_of_freedom, thermal_momenta
from symnets.simulate.relax import Relaxation, relax
from symnets.simulate.skin import SkinnedNeighbors
from symnets.simulate.stability import Unstable

__all__ = [
    "CompileError",
    "EnergyDrift",
    "MDRun",
    "Relaxation",
    "SkinnedNeighbors",
    "SymnetsCalculator",
    "Unstable",
    "compile",
    "compile_error",
    "degrees_of_freedom",
    "energy_drift",
    "relax",
    "run_md",
    "thermal_momenta",
]
