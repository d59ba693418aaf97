"""Second derivatives of losses: matrices where they fit, operators and estimators where they do not."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
