"""Time nequip on one graph; called by force_field.py with the Python of nequip's environment."""

import json
import sys
from importlib.metadata import version

import numpy as np
import torch
from nequip.data import AtomicDataDict
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state
from timing import measure

request = json.loads(sys.argv[1])
torch.set_num_threads(request["threads"])
arrays = {name: torch.from_numpy(array) for name, array in np.load(request["graph"]).items()}
species = arrays["z"].unique()
set_global_state()
model = NequIPGNNModel(
    seed=0,
    model_dtype="float32",
    r_max=5.0,
    type_names=[f"Z{int(z)}" for z in species],
    num_layers=4,
    l_max=2,
    parity=False,
    num_features=request["channels"],
    radial_mlp_depth=2,
    radial_mlp_width=64,
    num_bessels=8,
    bessel_trainable=True,
    avg_num_neighbors=arrays["edge_index"].shape[1] / len(arrays["z"]),
)
# nequip's edges start at the receiver.
data = {
    AtomicDataDict.POSITIONS_KEY: arrays["pos"].double(),
    AtomicDataDict.ATOM_TYPE_KEY: torch.searchsorted(species, arrays["z"]),
    AtomicDataDict.EDGE_INDEX_KEY: arrays["edge_index"].flip(0),
    AtomicDataDict.BATCH_KEY: arrays["batch"],
    AtomicDataDict.NUM_NODES_KEY: torch.bincount(arrays["batch"]),
}
if arrays["cell"].abs().sum() > 0:
    data[AtomicDataDict.CELL_KEY] = arrays["cell"].double()
    data[AtomicDataDict.EDGE_CELL_SHIFT_KEY] = arrays["edge_shift"].double()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)


def evaluate() -> None:
    """Energy, forces and, for crystals, stress."""
    model.eval()(dict(data))


def train() -> None:
    """One step of Adam on energy and forces."""
    optimizer.zero_grad()
    out = model.train()(dict(data))
    energy, forces = out[AtomicDataDict.TOTAL_ENERGY_KEY], out[AtomicDataDict.FORCE_KEY]
    (energy.square().mean() + forces.square().mean()).backward()
    optimizer.step()


result = measure({"evaluate": evaluate, "train": train}[request["mode"]], request["seconds"])
result["parameters"] = sum(p.numel() for p in model.parameters())
result["versions"] = {name: version(name) for name in ("nequip", "e3nn", "torch")}
print(json.dumps(result))
