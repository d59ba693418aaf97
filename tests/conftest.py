"""Shapes written in annotations are checked while tests run; hypothesis is reproducible.

Two processes share the tests, so that each, and what it starts, has one thread unless a test asks for more.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch

from jaxtyping import install_import_hook

# Not symnets.testing: beartype samples lists with `random`, which hypothesis forbids inside strategies.
CHECKED = ["symnets.data", "symnets.models", "symnets.nn"]
if not os.environ.get("SYMNETS_FUZZ"):  # fuzzing meets what users meet
    install_import_hook(CHECKED, "beartype.beartype")  # before anything imports symnets

from hypothesis import settings  # noqa: E402

import symnets  # noqa: E402, F401  # before tests import e3nn, whose release 0.4 needs it

settings.register_profile("symnets", deadline=None, derandomize=True, max_examples=20, database=None)
settings.load_profile("symnets")
