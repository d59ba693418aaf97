"""Curvature of losses: Hessians as matrices in closed form or as operators, spectra and estimators."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
