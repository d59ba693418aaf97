"""`symnets train` for other processes to run, with what it imports at once and later."""

import os
import sys
from contextlib import redirect_stderr

from torch.utils.tensorboard import SummaryWriter  # noqa: F401

from symnets.cli import Train, main  # noqa: F401


def run_train(*arguments: str) -> None:
    """Run the command without printed lines, and end with its exit status."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        sys.exit(main(["train", *arguments]))
