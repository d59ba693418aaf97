"""Growth of the peak memory of a process during one `hessian_split`."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hessian import dense_net
from workers.hessian_case import problem

from symnets.data import Batch
from symnets.observables.curvature import hessian_split
from symnets.training import QuadraticHinge


def field(name: str) -> int:
    """Bytes, from the kernel."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    raise KeyError(name)


request = json.loads(sys.argv[1])
small, x, y = problem(request | {"width": 8})
hessian_split(dense_net(small, request["activation"]), QuadraticHinge(), Batch(x, y))  # loads libraries
weights, x, y = problem(request)
net = dense_net(weights, request["activation"])
n = sum(w.numel() for w in weights)
Path("/proc/self/clear_refs").write_text("5")  # resets the peak
before = field("VmRSS")
split = hessian_split(net, QuadraticHinge(), Batch(x, y))
words = (field("VmHWM") - before) / x.element_size()
print(json.dumps({"words_over_n2": words / n**2}))
