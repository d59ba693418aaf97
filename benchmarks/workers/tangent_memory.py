"""Growth of the peak memory of a process during one `tangent_kernel`."""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from workers.tangent_case import dense_case

from symnets.observables import tangent_kernel


def field(name: str) -> int:
    """Bytes, from the kernel."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    raise KeyError(name)


request = json.loads(sys.argv[1])
torch.set_num_threads(request["threads"])
tangent_kernel(*dense_case(request | {"width": 8, "points": 50}))  # loads libraries
net, x = dense_case(request)
Path("/proc/self/clear_refs").write_text("5")  # resets the peak
before = field("VmRSS")
kernel = tangent_kernel(net, x)
print(json.dumps({"growth_mb": (field("VmHWM") - before) / 1e6}))
