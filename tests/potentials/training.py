"""`symnets train` as a function that other processes run; all that it needs later is imported at once."""

import os
import sys
from contextlib import redirect_stderr

from torch.utils.tensorboard import SummaryWriter  # noqa: F401

from symnets.cli import Train, main  # noqa: F401


def run_train(*arguments: str) -> None:
    """Run the command without printed lines, and end with its exit status."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        sys.exit(main(["train", *arguments]))
