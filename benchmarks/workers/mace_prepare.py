"""Make a mace-torch model with random weights, its symnets file and, on request, its symmetrix-xl file.

Run in mace-torch's environment.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from e3nn import o3
from mace.modules import ScaleShiftMACE, interaction_classes
from request import request

from symnets.models import from_mace, save

job = request()
first, others = (interaction_classes[f"RealAgnostic{name}InteractionBlock"] for name in job["blocks"])
model = ScaleShiftMACE(
    r_max=5.0,
    num_bessel=8,
    num_polynomial_cutoff=5,
    max_ell=3,
    interaction_cls=others,
    interaction_cls_first=first,
    num_interactions=2,
    num_elements=len(job["species"]),
    hidden_irreps=o3.Irreps(job["irreps"]),
    MLP_irreps=o3.Irreps("16x0e"),
    atomic_energies=np.zeros(len(job["species"])),
    avg_num_neighbors=float(job["mean_neighbors"]),
    atomic_numbers=job["species"],
    correlation=3,
    gate=torch.nn.functional.silu,
    distance_transform=job["distance_transform"],
    pair_repulsion=job["pair_repulsion"],
    atomic_inter_scale=1.0,
    atomic_inter_shift=0.0,
)
torch.save(model, job["mace_file"])
save(from_mace(model), job["symnets_file"])
if "symmetrix_file" in job:
    from symmetrix.extract_mace_data import extract_mace_data

    extracted = extract_mace_data(job["mace_file"])
    Path(job["symmetrix_file"]).write_text(json.dumps(extracted))
print(json.dumps({name: version(name) for name in ("mace-torch", "e3nn", "torch")}))
