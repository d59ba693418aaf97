"""Time columns of the Hessian by curvlinops; run by hessian.py in the environment of curvlinops."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from curvlinops import HessianLinearOperator
from workers.hessian_case import factor, hinge, problem

request = json.loads(sys.argv[1])
weights, x, y = problem(request)


class Hinge(nn.Module):
    """Mean hinge loss as a module with the attribute `reduction`, which curvlinops needs."""

    reduction = "mean"

    def forward(self, f: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return hinge(f[:, 0], y).mean()


layers: list[nn.Module] = []
for layer, w in enumerate(weights):
    linear = nn.Linear(w.shape[1], w.shape[0], bias=False, dtype=w.dtype)
    linear.weight.data.copy_(factor(layer, w, request["activation"]) * w)
    phi = {"relu": nn.ReLU, "tanh": nn.Tanh}[request["activation"]]()
    layers += [phi, linear] if layer else [linear]
model = nn.Sequential(*layers)
params = list(model.parameters())
operator = HessianLinearOperator(model, Hinge(), params, [(x, y)])
n, columns = sum(p.numel() for p in params), request["columns"]
identity = torch.eye(n, columns, dtype=x.dtype)
operator @ identity[:, :2]
start = time.perf_counter()
operator @ identity
seconds = (time.perf_counter() - start) * n / columns
versions = {name: version(name) for name in ("torch", "curvlinops-for-pytorch")}
print(json.dumps({"seconds": seconds, "versions": versions}))
