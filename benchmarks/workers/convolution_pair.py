"""Time the convolution by symnets and by e3nn in alternate calls in one process; run by ops.py."""

import json
import statistics

import convolution
import torch
from e3nn import o3
from request import request
from timing import once

from symnets.ops import all_paths, to_e3nn

job = request()
weights, order = job["weights"], job["order"]
ours, theirs = convolution.symnets(weights), convolution.e3nn(weights)
with torch.no_grad():
    for a, b in zip(ours.parameters, theirs.parameters, strict=True):
        a.copy_(b)
inputs = convolution.leaves(weights)
x = inputs[0].detach()
slots = all_paths(convolution.IRREPS, convolution.FILTERS, "+".join(convolution.WANTED))[0].simplify()
with torch.no_grad():
    a = to_e3nn(ours.product(*inputs[:3]), slots)
    b = theirs.product(to_e3nn(x, o3.Irreps(convolution.IRREPS)), *inputs[1:3])
difference = float((a - b).abs().max() / b.abs().max())
mine, other = (convolution.step(contender, order, inputs) for contender in (ours, theirs))
for _ in range(3):
    mine()
    other()
times: list[tuple[float, float]] = []
while len(times) < job["pairs"]:
    times.append((once(mine), once(other)))
ratios = sorted(b / a for a, b in times)
quarter = len(ratios) // 4
result = {
    "symnets_ms": 1000 * statistics.median(a for a, _ in times),
    "e3nn_ms": 1000 * statistics.median(b for _, b in times),
    "ratio": statistics.median(ratios),
    "ratio_quartiles": [ratios[quarter], ratios[-1 - quarter]],
    "pairs": len(times),
    "difference": difference,
}
print(json.dumps(result))
