"""Values with errors: curves over sizes and seeds, transitions, power laws."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
