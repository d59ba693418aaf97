"""What a worker is asked, with the graph as tensors; numpy and torch only."""

import json
import sys

import numpy as np
import torch
from torch import Tensor


def request() -> dict:
    """The argument of the worker; sets threads."""
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    torch.manual_seed(0)
    return asked


def graph(asked: dict) -> dict[str, Tensor]:
    """`pos`, `z`, `cell`, `pbc`, `edge_index` (sender, receiver), `edge_shift`, `batch`."""
    return {name: torch.from_numpy(array) for name, array in np.load(asked["graph"]).items()}
