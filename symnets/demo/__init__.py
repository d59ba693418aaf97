"""The demonstration `symnets demo`: a potential, deformed digits, jamming, and the page of the results."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
