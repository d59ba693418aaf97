"""Experiments, one phenomenon a module."""
