"""Time a MACE on one graph; run in mace-torch's environment."""

import json
from importlib.metadata import version

import numpy as np
import torch
from e3nn import o3
from mace.modules import ScaleShiftMACE, interaction_classes
from request import graph, request
from timing import measure

job = request()
arrays = graph(job)
species = arrays["z"].unique()
n_graphs = len(arrays["cell"])
channels = job["channels"]
if "mace_file" in job:  # made by mace_prepare.py
    model = torch.load(job["mace_file"], weights_only=False)
else:
    model = ScaleShiftMACE(
        r_max=5.0,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(species),
        hidden_irreps=o3.Irreps(f"{channels}x0e + {channels}x1o"),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(species)),
        avg_num_neighbors=float(job["mean_neighbors"]),
        atomic_numbers=species.tolist(),
        correlation=3,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )
owner = arrays["batch"][arrays["edge_index"][0]]
data = {
    "positions": arrays["pos"],
    "node_attrs": (arrays["z"][:, None] == species).to(torch.float32),
    "edge_index": arrays["edge_index"],
    "unit_shifts": arrays["edge_shift"],
    # mace has vector = pos[receiver] - pos[sender] + shift
    "shifts": -torch.einsum("ea,eab->eb", arrays["edge_shift"], arrays["cell"][owner]),
    "cell": arrays["cell"].flatten(0, 1),
    "batch": arrays["batch"],
    "ptr": torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(arrays["batch"]).cumsum(0)]),
}
data["unit_shifts"] = -data["unit_shifts"]
periodic = bool(arrays["pbc"].any())
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)


def evaluate() -> None:
    """Energy, forces and, for crystals, stress."""
    model.eval()({name: field.detach() for name, field in data.items()}, compute_stress=periodic)


def train() -> None:
    """Do one step of Adam on energy and forces."""
    optimizer.zero_grad()
    out = model.train()({name: field.detach() for name, field in data.items()}, training=True)
    (out["energy"].square().mean() + out["forces"].square().mean()).backward()
    optimizer.step()


result = measure({"evaluate": evaluate, "train": train}[job["mode"]], job["seconds"])
if job["mode"] == "evaluate":
    result["energy"] = float(model(data)["energy"].sum())
result["parameters"] = sum(p.numel() for p in model.parameters())
result["versions"] = {name: version(name) for name in ("mace-torch", "e3nn", "torch")}
print(json.dumps(result))
