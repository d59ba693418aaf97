"""The law book: what every force field and every layer must obey, for our tests and for yours.

`assert_lawful(force_field)` tries all laws of `LAWS`; each is a function of its own, too.
Random structures for `hypothesis` are in `symnets.testing.strategies`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
