"""Equivariant networks, diffeomorphisms and the loss landscape: one toolkit."""

import sys

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _BeforeE3nn:
    """Finder of no module: when e3nn is imported, it first lets torch read the constants of e3nn 0.4.

    e3nn 0.4.4, which mace-torch requires, reads them by `torch.load`, and torch 2.6 and later then refuse
    the slices in the file unless they are declared safe. Nothing else is allowed, and torch is not imported
    before e3nn would import it.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """None, so that the search goes on."""
        if name == "e3nn":
            import torch

            torch.serialization.add_safe_globals([slice])


sys.meta_path.insert(0, _BeforeE3nn)  # pyright: ignore[reportArgumentType]
