"""Tools for kernel matrices: their relation to labels, their dimensions and changes, what they predict."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
