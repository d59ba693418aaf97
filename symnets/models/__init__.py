"""Whole networks and the wrappers around them."""

from symnets.models.force_field import EnergyForces, ForceField

__all__ = ["EnergyForces", "ForceField"]
