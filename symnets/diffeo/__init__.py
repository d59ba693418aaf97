"""Deformations of images, volumes and points: random smooth fields of known size, exact maps."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
