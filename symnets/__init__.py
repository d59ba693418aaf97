"""Equivariant networks, diffeomorphisms and the loss landscape: one toolkit."""

import sys

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _BeforeE3nn:
    """Import hook that lets torch read the constants of e3nn 0.4 just before e3nn is imported.

    e3nn 0.4.4, which mace-torch requires, reads them by `torch.load`. torch 2.6 and later refuse the slices
    in that file unless `slice` is declared safe. Nothing else is declared safe, and torch is not imported
    before e3nn would import it.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Declare `slice` safe if e3nn is imported; return None, so that other finders find the module."""
        if name == "e3nn":
            import torch

            torch.serialization.add_safe_globals([slice])


sys.meta_path.insert(0, _BeforeE3nn)  # pyright: ignore[reportArgumentType]
