"""Training: dynamics move weights, a trainer watches the clock, nobody does the other's work."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
