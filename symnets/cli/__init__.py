"""The command line `symnets COMMAND ...`: each command is a frozen dataclass whose fields are its options."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
