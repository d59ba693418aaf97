"""Physical laws as tests of force fields and layers.

`assert_lawful(force_field)` checks all laws of `LAWS`; each law is also a function of its own.
`structures` is a strategy of random structures for hypothesis.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
