"""Time the convolution by one package; run by ops.py in the environment of the package."""

import json
from importlib.metadata import PackageNotFoundError, version

import convolution
from request import request
from timing import measure

job = request()
options = {"layout": job["variant"]} if job["variant"] else {}
contender = getattr(convolution, job["package"])(job["weights"], **options)
step = convolution.step(contender, job["order"], convolution.leaves(job["weights"]))
result = measure(step, job["seconds"])
result["versions"] = {}
for name in ("torch", "e3nn", "cuequivariance_torch"):
    try:
        result["versions"][name] = version(name)
    except PackageNotFoundError:
        continue
print(json.dumps(result))
