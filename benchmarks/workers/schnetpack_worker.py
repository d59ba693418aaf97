"""Time schnetpack's PaiNN on one graph; run in its environment."""

import json
from importlib.metadata import version
from typing import TypeVar

import torch
import torch.utils.data.dataloader

# schnetpack 2.0.4 imports this name from torch, which no longer has it.
torch.utils.data.dataloader.T_co = TypeVar("T_co", covariant=True)

import schnetpack as spk  # noqa: E402
import schnetpack.properties as key  # noqa: E402
from request import graph, request  # noqa: E402
from timing import measure  # noqa: E402

job = request()
arrays = graph(job)
cutoff, width = 5.0, job["channels"]
periodic = bool(arrays["pbc"].any())
model = spk.model.NeuralNetworkPotential(
    representation=spk.representation.PaiNN(
        n_atom_basis=width,
        n_interactions=4,
        radial_basis=spk.nn.GaussianRBF(n_rbf=20, cutoff=cutoff),
        cutoff_fn=spk.nn.CosineCutoff(cutoff),
    ),
    input_modules=[spk.atomistic.Strain()] * periodic + [spk.atomistic.PairwiseDistances()],
    output_modules=[
        spk.atomistic.Atomwise(n_in=width, output_key="energy"),
        spk.atomistic.Forces(calc_stress=periodic),
    ],
)
sender, receiver = arrays["edge_index"]
owner = arrays["batch"][receiver]
data = {
    key.Z: arrays["z"],
    key.R: arrays["pos"],
    key.cell: arrays["cell"],
    key.pbc: arrays["pbc"].flatten(),
    key.idx_i: receiver,
    key.idx_j: sender,
    key.offsets: torch.einsum("ea,eab->eb", arrays["edge_shift"], arrays["cell"][owner]),
    key.idx_m: arrays["batch"],
    key.n_atoms: torch.bincount(arrays["batch"]),
}
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)


def evaluate() -> None:
    """Energy, forces and, for crystals, stress."""
    model.eval()({name: field.detach() for name, field in data.items()})


def train() -> None:
    """Do one step of Adam on energy and forces."""
    optimizer.zero_grad()
    out = model.train()({name: field.detach() for name, field in data.items()})
    (out["energy"].square().mean() + out["forces"].square().mean()).backward()
    optimizer.step()


result = measure({"evaluate": evaluate, "train": train}[job["mode"]], job["seconds"])
result["parameters"] = sum(p.numel() for p in model.parameters())
result["versions"] = {name: version(name) for name in ("schnetpack", "torch")}
print(json.dumps(result))
