"""Time SevenNet's published potentials on one graph; run in its environment."""

import json
from importlib.metadata import version

import sevenn._keys as KEY
import torch
from request import graph, request
from sevenn.atom_graph_data import AtomGraphData
from sevenn.util import load_checkpoint
from timing import measure

job = request()
arrays = graph(job)
model = load_checkpoint(job["model"]).build_model().eval()
model.set_is_batch_data(False)
sender, receiver = arrays["edge_index"]
shift = torch.einsum("ea,ab->eb", arrays["edge_shift"], arrays["cell"][0])
vectors = arrays["pos"][sender] + shift - arrays["pos"][receiver]


def evaluate() -> float:
    """Energy, forces and stress, as SevenNetCalculator has them, on a graph that is ready."""
    data = AtomGraphData(
        **{
            KEY.NODE_FEATURE: arrays["z"],
            KEY.ATOMIC_NUMBERS: arrays["z"],
            KEY.POS: arrays["pos"],
            KEY.EDGE_IDX: torch.stack([receiver, sender]),
            KEY.EDGE_VEC: vectors.clone(),
            KEY.CELL_VOLUME: arrays["cell"][0].det(),
            KEY.NUM_ATOMS: torch.tensor(len(arrays["z"])),
        }
    )
    return float(model(data)[KEY.PRED_TOTAL_ENERGY])


result = measure(evaluate, job["seconds"])
result["energy"] = evaluate()
result["parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
result["versions"] = {name: version(name) for name in ("sevenn", "e3nn", "torch")}
print(json.dumps(result))
