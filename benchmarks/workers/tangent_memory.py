"""Growth of the peak memory of a process during one `tangent_kernel`."""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from workers.tangent_case import dense_case
from workers.timing import memory_bytes, reset_peak

from symnets.observables import tangent_kernel

request = json.loads(sys.argv[1])
torch.set_num_threads(request["threads"])
tangent_kernel(*dense_case(request | {"width": 8, "points": 50}))  # loads libraries
net, x = dense_case(request)
reset_peak()
before = memory_bytes("VmRSS")
kernel = tangent_kernel(net, x)
print(json.dumps({"growth_mb": (memory_bytes("VmHWM") - before) / 1e6}))
