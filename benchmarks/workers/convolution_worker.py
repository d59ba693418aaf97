"""Time the convolution by one package; run by ops.py in the environment of the package."""

import json
from importlib.metadata import PackageNotFoundError, version

import convolution
from request import request
from timing import measure

asked = request()
options = {"layout": asked["variant"]} if asked["variant"] else {}
contender = getattr(convolution, asked["package"])(asked["weights"], **options)
step = convolution.step(contender, asked["order"], convolution.leaves(asked["weights"]))
result = measure(step, asked["seconds"])
result["versions"] = {}
for name in ("torch", "e3nn", "cuequivariance_torch"):
    try:
        result["versions"][name] = version(name)
    except PackageNotFoundError:
        continue
print(json.dumps(result))
