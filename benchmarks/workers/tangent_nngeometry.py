"""Gram matrix of gradients by nngeometry for the convolutional net of benchmarks/tangent.py.

Prints versions, then computes one kernel for each line that it reads.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from nngeometry.gram import GramMatrix
from torch.utils.data import DataLoader, TensorDataset
from workers.tangent_case import image_case

request = json.loads(sys.argv[1])
torch.set_num_threads(request["threads"])
net, x = image_case(request)
loader = DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=250)


def seconds() -> float:
    """Seconds of one kernel."""
    start = time.perf_counter()
    GramMatrix(net, loader, function=lambda x, _: net(x))
    return time.perf_counter() - start


print(json.dumps({"versions": {"nngeometry": version("nngeometry")}}), flush=True)
for _ in sys.stdin:
    print(json.dumps({"seconds": seconds()}), flush=True)
