"""Worker of voxels.py in the environment of escnn: times a layer once for each line that it reads."""

import json
import sys
import time
import warnings

import torch

warnings.simplefilter("ignore")  # escnn says that py3nj is missing, and computes coefficients itself
from escnn import gspaces  # noqa: E402
from escnn import nn as enn  # noqa: E402


def main() -> None:
    """Build the layer of the request, print its number of weights, and time it."""
    request = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space = gspaces.rot3dOnR3()
    types = [
        enn.FieldType(space, [space.irrep(degree) for degree, n in enumerate(channels) for _ in range(n)])
        for channels in (request["channels_in"], request["channels_out"])
    ]
    size, grid = request["size"], request["grid"]
    layer = enn.R3Conv(*types, size, padding=size // 2, stride=request["stride"], bias=False)
    x = torch.randn(request["batch"], types[0].size, grid, grid, grid)

    def forward() -> None:
        with torch.no_grad():
            layer(enn.GeometricTensor(x, types[0]))

    def step() -> None:
        layer.zero_grad()
        fields = enn.GeometricTensor(x.detach().requires_grad_(), types[0])
        layer(fields).tensor.square().mean().backward()

    step()
    print(json.dumps({"n_weights": sum(p.numel() for p in layer.parameters())}), flush=True)
    for line in sys.stdin:
        is_forward = line.strip() == "forward"
        layer.train(not is_forward)  # in eval mode escnn keeps the kernel
        if is_forward:
            forward()
        start = time.perf_counter()
        forward() if is_forward else step()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main()
