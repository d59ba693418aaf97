"""Structured derivatives of neural-tangents for the dense nets of benchmarks/tangent.py.

Prints versions and the time of compilation, then computes one kernel for each line that it reads.
"""

import json
import os
import sys
import time

request = json.loads(sys.argv[1])
threads = request["threads"]
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
os.environ["JAX_PLATFORMS"] = "cpu"
if threads == 1 and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})  # jax has no other limit of threads

import jax  # noqa: E402
import neural_tangents as nt  # noqa: E402
from jax import numpy as jnp  # noqa: E402
from neural_tangents import stax  # noqa: E402

jax.config.update("jax_enable_x64", request["dtype"] == "float64")
dtype = getattr(jnp, request["dtype"])
layers = []
for _ in range(3):
    layers += [stax.Dense(request["width"], W_std=2**0.5, b_std=None), stax.Relu()]
initial, apply, _ = stax.serial(*layers, stax.Dense(1, W_std=1.0, b_std=None))
_, parameters = initial(jax.random.PRNGKey(0), (-1, 10))
parameters = jax.tree_util.tree_map(lambda p: p.astype(dtype), parameters)
x = jax.random.normal(jax.random.PRNGKey(1), (request["points"], 10), dtype)
kernel = jax.jit(
    nt.empirical_ntk_fn(
        apply, vmap_axes=0, trace_axes=(-1,), implementation=nt.NtkImplementation.STRUCTURED_DERIVATIVES
    )
)


def seconds() -> float:
    """Seconds of one kernel."""
    start = time.perf_counter()
    kernel(x, None, parameters).block_until_ready()
    return time.perf_counter() - start


first = seconds()
versions = {"jax": jax.__version__, "neural_tangents": nt.__version__}
print(json.dumps({"versions": versions, "first_call_s": round(first, 3)}), flush=True)
for _ in sys.stdin:
    print(json.dumps({"seconds": seconds()}), flush=True)
