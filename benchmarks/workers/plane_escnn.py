"""Layers and nets of escnn for benchmarks/plane.py.

Prints versions and the number of weights, then runs once for each line that it reads.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from escnn import gspaces
from escnn import nn as enn
from workers.timing_of_steps import step_timer

request = json.loads(sys.argv[1])
torch.set_num_threads(request["threads"])
plane = gspaces.rot2dOnR2(N=-1, maximum_frequency=4)
types = [
    enn.FieldType(plane, [plane.irrep(order) for order, n in enumerate(channels) for _ in range(n)])
    for channels in request["fields"]
]


class Net(torch.nn.Module):
    """Blocks, invariants and a linear map."""

    def __init__(self) -> None:
        super().__init__()
        modules = []
        for before, after, stride in zip(types, types[1:], request["strides"], strict=False):
            modules += [
                enn.R2Conv(before, after, kernel_size=5, padding=2, stride=stride, bias=False),
                enn.GNormBatchNorm(after),
                enn.NormNonLinearity(after),
            ]
        self.features = enn.SequentialModule(*modules, enn.NormPool(types[-1]))
        self.readout = torch.nn.Linear(len(types[-1]), 10)

    def forward(self, x: enn.GeometricTensor) -> torch.Tensor:
        """Logits."""
        return self.readout(self.features(x).tensor.mean((2, 3)))


net = len(types) > 2
module = Net() if net else enn.R2Conv(*types, kernel_size=5, padding=2, bias=False)
x = enn.GeometricTensor(
    torch.randn(request["batch"], types[0].size, request["side"], request["side"]), types[0]
)
seconds = step_timer(module, x, request["what"], (lambda out: out) if net else (lambda out: out.tensor))
facts = {
    "versions": {"escnn": version("escnn")},
    "n_weights": sum(p.numel() for p in module.parameters()),
}
print(json.dumps(facts), flush=True)
for _ in sys.stdin:
    print(json.dumps({"seconds": seconds()}), flush=True)
