"""Tangent kernels: in closed form, by gradients, as operators, and on disk."""
