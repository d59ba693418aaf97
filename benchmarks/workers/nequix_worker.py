"""Time Nequix on one graph: JAX on the CPU after its own jit, without kernels.

Called with the Python of an environment with nequix and a JAX for the CPU, by foundation_nequix.py, which
binds the process to one core: XLA sizes its thread pool by the cores that the process may use.
"""

import json
import os
import sys
from importlib.metadata import version

import equinox
import jax
import jraph
import numpy as np
from nequix.model import load_model
from timing import measure

job = json.loads(sys.argv[1])
model, config = load_model(job["nqx"], kernel=False)
arrays = np.load(job["graph"])
index = {number: n for n, number in enumerate(sorted(config["atomic_numbers"]))}
graph = jraph.GraphsTuple(
    n_node=np.array([len(arrays["z"])], np.int32),
    n_edge=np.array([arrays["edge_index"].shape[1]], np.int32),
    nodes={
        "species": np.array([index[z] for z in arrays["z"]], np.int32),
        "positions": arrays["pos"].astype(np.float32),
        "forces": None,
    },
    edges={"shifts": arrays["edge_shift"].astype(np.float32)},
    senders=arrays["edge_index"][0].astype(np.int32),
    receivers=arrays["edge_index"][1].astype(np.int32),
    globals={"cell": arrays["cell"].astype(np.float32), "energy": None, "stress": None},
)
# The model needs a padding graph. One atom and no edge is the least; Nequix's calculator adds a tenth.
graph = jraph.pad_with_graphs(
    graph, n_node=len(arrays["z"]) + 1, n_edge=arrays["edge_index"].shape[1], n_graph=2
)
graph = jax.tree.map(jax.numpy.asarray, graph)
compiled = equinox.filter_jit(model)


def evaluate() -> tuple[jax.Array, ...]:
    """Energy, forces and stress."""
    return jax.block_until_ready(compiled(graph))


result = measure(evaluate, job["seconds"])
energy, forces, stress = evaluate()
result["energy"] = float(energy[0])
result["fmax"] = float(abs(forces).max())
result["cores"] = len(os.sched_getaffinity(0))
result["parameters"] = sum(
    leaf.size for leaf in jax.tree.leaves(equinox.filter(model, equinox.is_inexact_array))
)
result["versions"] = {name: version(name) for name in ("nequix", "jax", "e3nn-jax")}
print(json.dumps(result))
