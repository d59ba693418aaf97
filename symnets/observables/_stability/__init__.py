"""Stability of networks under deformations of their images, relative to noise: D, G and R, layer by layer."""
