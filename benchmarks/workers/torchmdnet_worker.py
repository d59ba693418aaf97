"""Time torchmd-net's TensorNet on one graph; run in its environment.

torchmd-net searches for neighbours in its forward pass, and needs cells of at least twice the cutoff. Here it
gets the same edges as all other programs instead, with its own self-loops, so that its time does not include
a neighbour list.
"""

import json
from importlib.metadata import version

import torch
from request import graph, request
from timing import measure
from torch import Tensor, nn
from torchmdnet.models.model import create_model

job = request()
arrays = graph(job)
n_atoms = len(arrays["z"])
model = create_model(
    {
        "model": "tensornet",
        "embedding_dimension": job["channels"],
        "num_layers": 2,
        "num_rbf": 32,
        "rbf_type": "expnorm",
        "trainable_rbf": False,
        "activation": "silu",
        "cutoff_lower": 0.0,
        "cutoff_upper": 5.0,
        "max_z": 100,
        "max_num_neighbors": 128,
        "equivariance_invariance_group": "O(3)",
        "output_model": "Scalar",
        "output_mlp_num_layers": 0,
        "reduce_op": "add",
        "precision": 32,
        "prior_model": None,
        "atom_filter": -1,
        "derivative": True,
    }
)
loops = torch.arange(n_atoms).expand(2, -1)
sender, receiver = arrays["edge_index"]
owner = arrays["batch"][receiver]
shift = torch.einsum("ea,eab->eb", arrays["edge_shift"], arrays["cell"][owner])


class Edges(nn.Module):
    """Precomputed edges with self-loops, instead of torchmd-net's neighbour search."""

    def forward(self, pos: Tensor, batch: Tensor, box: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Indices, lengths and vectors."""
        vectors = pos[receiver] - pos[sender] - shift
        lengths = torch.cat([vectors.norm(dim=-1), pos.new_zeros(n_atoms)])
        vectors = torch.cat([vectors, pos.new_zeros(n_atoms, 3)])
        return torch.cat([torch.stack([receiver, sender]), loops], dim=1), lengths, vectors


model.representation_model.distance = Edges()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)


def evaluate() -> None:
    """Energy and forces."""
    model.eval()(arrays["z"], arrays["pos"].detach(), arrays["batch"])


def train() -> None:
    """Do one step of Adam on energy and forces."""
    optimizer.zero_grad()
    energy, forces = model.train()(arrays["z"], arrays["pos"].detach(), arrays["batch"])
    (energy.square().mean() + forces.square().mean()).backward()
    optimizer.step()


result = measure({"evaluate": evaluate, "train": train}[job["mode"]], job["seconds"])
result["parameters"] = sum(p.numel() for p in model.parameters())
result["versions"] = {name: version(name) for name in ("torchmd-net", "torch")}
print(json.dumps(result))
