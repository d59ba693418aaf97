"""Time nequip on one graph: in eager mode, with compiled training, or as a package of nequip-compile.

Called with the Python of nequip's environment, by force_field.py and scaling.py.
"""

import hashlib
import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from nequip.data import AtomicDataDict
from nequip.model import NequIPGNNModel
from nequip.model.inference_models.aotinductor import load_aotinductor_model
from nequip.scripts._compile_utils import ASE_TARGET
from nequip.utils.aot import aot_export_model
from nequip.utils.aoti_metadata import NEQUIP_AOTI_INPUTS_KEY, NEQUIP_AOTI_OUTPUTS_KEY, serialize_aoti_keys
from nequip.utils.global_state import get_latest_global_state, set_global_state
from request import graph, request
from timing import measure
from torch import Tensor, nn

job = request()
arrays = graph(job)
species = arrays["z"].unique()
compiled = job["variant"] == "compiled"


def build(mode: str) -> nn.Module:
    """The model, with seed 0."""
    return NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        compile_mode=mode,
        r_max=5.0,
        type_names=[f"Z{int(z)}" for z in species],
        num_layers=job.get("layers", 4),
        l_max=job["lmax"],
        parity=False,
        num_features=job["channels"],
        radial_mlp_depth=2,
        radial_mlp_width=64,
        num_bessels=8,
        bessel_trainable=True,
        avg_num_neighbors=job["mean_neighbors"],
    )


def inputs() -> dict[str, Tensor]:
    """Graph in nequip's format, in which edges start at the receiver."""
    data = {
        AtomicDataDict.POSITIONS_KEY: arrays["pos"].double(),
        AtomicDataDict.ATOM_TYPE_KEY: torch.searchsorted(species, arrays["z"]),
        AtomicDataDict.EDGE_INDEX_KEY: arrays["edge_index"].flip(0).contiguous(),
        AtomicDataDict.BATCH_KEY: arrays["batch"],
        AtomicDataDict.NUM_NODES_KEY: torch.bincount(arrays["batch"]),
    }
    if arrays["pbc"].any():
        data[AtomicDataDict.CELL_KEY] = arrays["cell"].double()
        data[AtomicDataDict.EDGE_CELL_SHIFT_KEY] = arrays["edge_shift"].double()
    elif compiled:  # A compiled model needs a cell; this one has no effect.
        data[AtomicDataDict.CELL_KEY] = 100 * torch.eye(3).double()[None]
        data[AtomicDataDict.EDGE_CELL_SHIFT_KEY] = torch.zeros_like(arrays["edge_shift"]).double()
    return data


def package() -> tuple[nn.Module, float]:
    """The model that `nequip-compile --mode aotinductor --device cpu --target ase` writes; seconds it took.

    These are the calls of nequip-compile after it has read a checkpoint. The file is kept in
    `job["packages"]`; it is for any number of atoms and edges."""
    shape = {key: job[key] for key in ("lmax", "channels", "mean_neighbors", "threads")}
    name = json.dumps([shape, species.tolist(), job.get("layers", 4), version("nequip"), torch.__version__])
    path = Path(job["packages"]) / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.nequip.pt2"
    seconds = path.with_suffix(".seconds")
    if not path.exists() and "only_package" not in job:
        # In another process: the memory of this one is measured.
        subprocess.run([sys.executable, __file__, json.dumps(job | {"only_package": True})], check=True)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        model = build("eager")
        metadata = model.metadata | get_latest_global_state(only_metadata_related=True)
        metadata = {k: str(int(v)) if isinstance(v, bool) else str(v) for k, v in metadata.items()}
        metadata |= {
            NEQUIP_AOTI_INPUTS_KEY: serialize_aoti_keys(ASE_TARGET["input"]),
            NEQUIP_AOTI_OUTPUTS_KEY: serialize_aoti_keys(ASE_TARGET["output"]),
        }
        sizes = {name: torch.export.Dim(f"num_{name}s", min=2, max=torch.inf) for name in ("node", "edge")}
        start = time.perf_counter()
        aot_export_model(
            model=model,
            device=torch.device("cpu"),
            input_fields=ASE_TARGET["input"],
            output_fields=ASE_TARGET["output"],
            data=ASE_TARGET["data_settings"](inputs()),
            batch_map=sizes | {"graph": torch.export.Dim.STATIC},
            output_path=str(path),
            inductor_configs={"aot_inductor.metadata": metadata},
        )
        seconds.write_text(str(time.perf_counter() - start))
    return load_aotinductor_model(str(path), "cpu")[0], float(seconds.read_text())


set_global_state()
extra = {}
if compiled and job["mode"] == "evaluate":
    model, extra["build_s"] = package()
    if "only_package" in job:
        sys.exit()
else:
    model = build("compile" if compiled else "eager")
data = inputs()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4) if job["mode"] == "train" else None


def evaluate() -> dict[str, Tensor]:
    """Energy, forces and, for crystals, stress."""
    return model.eval()(dict(data))


def train() -> None:
    """Do one step of Adam on energy and forces."""
    optimizer.zero_grad()
    out = model.train()(dict(data))
    energy, forces = out[AtomicDataDict.TOTAL_ENERGY_KEY], out[AtomicDataDict.FORCE_KEY]
    (energy.square().mean() + forces.square().mean()).backward()
    optimizer.step()


result = measure({"evaluate": evaluate, "train": train}[job["mode"]], job["seconds"]) | extra
result["parameters"] = sum(p.numel() for p in build("eager").parameters())
result["versions"] = {name: version(name) for name in ("nequip", "e3nn", "torch")}
print(json.dumps(result))
