"""Request to a worker, and its graph as tensors; needs only numpy and torch."""

import json
import sys

import numpy as np
import torch
from torch import Tensor


def request() -> dict:
    """Request in the command line of the worker; sets the number of threads."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    return job


def graph(job: dict) -> dict[str, Tensor]:
    """`pos`, `z`, `cell`, `pbc`, `edge_index` (sender, receiver), `edge_shift`, `batch`."""
    return {name: torch.from_numpy(array) for name, array in np.load(job["graph"]).items()}
