"""Whole networks and the wrappers around them."""

from symnets.models.force_field import EnergyForces, ForceField
from symnets.models.invariant import Invariant
from symnets.models.io import describe, load, save
from symnets.models.nequip import NequIP
from symnets.models.zbl import WithZBL

__all__ = ["EnergyForces", "ForceField", "Invariant", "NequIP", "WithZBL", "describe", "load", "save"]
