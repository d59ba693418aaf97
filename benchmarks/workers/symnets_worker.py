"""Time symnets' NequIP on one graph; called by force_field.py."""

import json
import sys

import numpy as np
import torch
from ase.data import chemical_symbols
from timing import measure

import symnets
from symnets.data import AtomGraph
from symnets.models import ForceField, NequIP

request = json.loads(sys.argv[1])
torch.set_num_threads(request["threads"])
torch.manual_seed(0)
arrays = {name: torch.from_numpy(array) for name, array in np.load(request["graph"]).items()}
n_graphs = arrays["cell"].shape[0]
pbc = (arrays["cell"].abs().sum((1, 2)) > 0)[:, None].expand(n_graphs, 3)
graph = AtomGraph(**arrays, pbc=pbc)
species = [chemical_symbols[int(z)] for z in graph.z.unique()]
options = {"channels": request["channels"], "lmax": 2, "layers": 4, "parity": False}
model = ForceField(NequIP(species, **options, mean_neighbors=graph.edge_index.shape[1] / len(graph.z)))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)


def evaluate() -> None:
    """Energy, forces and, for crystals, stress."""
    model.eval()(graph)


def train() -> None:
    """One step of Adam on energy and forces."""
    optimizer.zero_grad()
    out = model.train()(graph)
    (out.energy.square().mean() + out.forces.square().mean()).backward()
    optimizer.step()


result = measure({"evaluate": evaluate, "train": train}[request["mode"]], request["seconds"])
result["parameters"] = sum(p.numel() for p in model.parameters())
result["versions"] = {"symnets": symnets.__version__, "torch": torch.__version__}
print(json.dumps(result))
