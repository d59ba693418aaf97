"""Growth of the peak memory of a process during one `hessian_split`."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hessian import dense_net
from workers.hessian_case import problem
from workers.timing import memory_bytes, reset_peak

from symnets.data import Batch
from symnets.observables.curvature import hessian_split
from symnets.training import QuadraticHinge

request = json.loads(sys.argv[1])
small, x, y = problem(request | {"width": 8})
hessian_split(dense_net(small, request["activation"]), QuadraticHinge(), Batch(x, y))  # loads libraries
weights, x, y = problem(request)
net = dense_net(weights, request["activation"])
n = sum(w.numel() for w in weights)
reset_peak()
before = memory_bytes("VmRSS")
split = hessian_split(net, QuadraticHinge(), Batch(x, y))
words = (memory_bytes("VmHWM") - before) / x.element_size()
print(json.dumps({"words_over_n2": words / n**2}))
