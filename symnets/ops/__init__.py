"""Tensor products, symmetric contractions, grouped linear maps: compiled for the CPU, and in plain torch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
