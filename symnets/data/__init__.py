"""What goes in: graphs of atoms, images and points, readers, splits, statistics."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
