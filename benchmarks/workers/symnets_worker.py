"""Time a symnets force field on one graph, as trained or compiled; with `compiled_file` also by torch.

For force_field.py, foundation_nequix.py, native.py and scaling.py. A compiled model is one native function;
the variant `torch` evaluates the same tables by torch.
"""

import json
import subprocess
import sys
import tempfile
import time

import torch
from ase.data import chemical_symbols
from request import graph, request
from timing import measure

import symnets
from symnets.data import AtomGraph
from symnets.models import MACE, ForceField, NequIP, load, save
from symnets.simulate import compile, compile_error

job = request()
arrays = AtomGraph(**graph(job))
if "file" in job:
    model = load(job["file"])
else:  # NequIP also in the comparisons with PaiNN and TensorNet
    options = {"channels": job["channels"], "mean_neighbors": job["mean_neighbors"]}
    species = [chemical_symbols[int(z)] for z in arrays.z.unique()]
    model = ForceField(
        MACE(species, radial_hidden=(64, 64, 64), **options)
        if job["model"] == "mace"
        else NequIP(species, lmax=job["lmax"], layers=job.get("layers", 4), parity=False, **options)
    )
parameters = sum(p.numel() for p in model.parameters())
extra, original = {}, model
if "save_to" in job:
    start = time.perf_counter()
    # `compile` finds the knots on random clusters; of 89 elements some are too close for any table.
    model = compile(original)
    print(time.perf_counter() - start)
    save(model, job["save_to"])
    sys.exit()
if job["variant"] in ("compiled", "native", "torch") and "compiled_file" in job:
    model = load(job["compiled_file"])
    model.use_native = job["variant"] != "torch"
elif job["variant"] == "compiled":
    # In another process, as on the command line: the memory of this one is measured.
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/compiled.safetensors"
        command = [sys.executable, "-W", "ignore", __file__, json.dumps(job | {"save_to": file})]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        extra["build_s"] = float(done.stdout.splitlines()[-1])
        model = load(file)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4) if job["mode"] == "train" else None


def evaluate() -> float:
    """Energy, forces and, for crystals, stress."""
    return float(model.eval()(arrays).energy.sum())


def train() -> None:
    """Do one step of Adam on energy and forces."""
    optimizer.zero_grad()
    out = model.train()(arrays)
    (out.energy.square().mean() + out.forces.square().mean()).backward()
    optimizer.step()


result = measure({"evaluate": evaluate, "train": train}[job["mode"]], job["seconds"]) | extra
if job["mode"] == "evaluate":
    result["energy"] = evaluate()
if job["variant"] == "compiled":
    result["compile_error"] = compile_error(original, model, arrays)._asdict()
result["parameters"] = parameters
result["versions"] = {"symnets": symnets.__version__, "torch": torch.__version__}
print(json.dumps(result))
