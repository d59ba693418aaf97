"""A model of atomic energies as one machine-code function: energies, forces and virials in a single call."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
