"""Train nequip on acetylacetone; run by learning_curves.py in the environment of nequip."""

import copy
import csv
import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.io import read
from ase.neighborlist import neighbor_list
from nequip.data import AtomicDataDict as D
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state

request = json.loads(sys.argv[1])
torch.set_num_threads(1)
torch.manual_seed(0)
folder = Path(os.environ["SYMNETS_DATA"]) / "acac"
frames = read(folder / "train_300K.xyz", ":")
alone = {a.numbers[0]: a.get_potential_energy() for a in read(folder / "isolated_atoms.xyz", ":")}
order = np.random.default_rng(0).permutation(len(frames))
species = [1, 6, 8]
edges_of = {id(a): np.stack(neighbor_list("ij", a, 5.0)) for a in frames}  # computed before the clock starts


def bonding(atoms: Atoms) -> float:
    """Energy minus that of the isolated atoms, in eV."""
    return atoms.get_potential_energy() - sum(alone[z] for z in atoms.numbers)


def batch(structures: list[Atoms]) -> dict[str, torch.Tensor]:
    """Graph in nequip's format, in which edges start at the receiver."""
    edges, first = [], 0
    for atoms in structures:
        edges.append(edges_of[id(atoms)] + first)
        first += len(atoms)
    numbers = np.concatenate([a.numbers for a in structures])
    sizes = torch.tensor([len(a) for a in structures])
    return {
        D.POSITIONS_KEY: torch.tensor(np.concatenate([a.positions for a in structures])),
        D.ATOM_TYPE_KEY: torch.tensor(np.searchsorted(species, numbers)),
        D.EDGE_INDEX_KEY: torch.tensor(np.concatenate(edges, axis=1)),
        D.BATCH_KEY: torch.repeat_interleave(sizes),
        D.NUM_NODES_KEY: sizes,
        "labels/energy": torch.tensor([bonding(a) for a in structures]),
        "labels/forces": torch.tensor(np.concatenate([a.get_forces() for a in structures])),
    }


training, held_out = [frames[i] for i in order[:450]], [frames[i] for i in order[450:500]]
validation = [batch(held_out[i : i + 10]) for i in range(0, 50, 10)]
set_global_state()
model = NequIPGNNModel(
    seed=0,
    model_dtype="float32",
    r_max=5.0,
    type_names=["H", "C", "O"],
    num_layers=4,
    l_max=2,
    parity=False,
    num_features=32,
    radial_mlp_depth=2,
    radial_mlp_width=64,
    num_bessels=8,
    bessel_trainable=True,
    avg_num_neighbors=batch(training)[D.EDGE_INDEX_KEY].shape[1] / (15 * 450),
    per_type_energy_shifts={s: float(np.mean([bonding(a) / 15 for a in training])) for s in "HCO"},
    per_type_energy_scales=float(np.sqrt(np.mean([a.get_forces() ** 2 for a in training]))),
)
average = copy.deepcopy(model).requires_grad_(False)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
spent, step, begin = 0.0, 0, time.perf_counter()


def errors(data: dict[str, torch.Tensor], net: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Errors of energies in eV and forces in eV/Å."""
    out = net({k: v for k, v in data.items() if not k.startswith("labels/")})
    energy = out[D.TOTAL_ENERGY_KEY].flatten() - data["labels/energy"]
    return energy, out[D.FORCE_KEY] - data["labels/forces"]


generator = np.random.default_rng(1)
with open(Path(request["output"]) / "history.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["step", "seconds", "validation/energy_rmse", "validation/forces_rmse"])
    while spent < 60 * request["minutes"]:
        shuffled = generator.permutation(450)
        for start in range(0, 450, 5):
            spent = time.perf_counter() - begin
            x = min(spent / (60 * request["minutes"]), 1.0)
            optimizer.param_groups[0]["lr"] = 0.01 * (0.01 + 0.99 * (1 + math.cos(math.pi * x)) / 2)
            optimizer.zero_grad()
            energy, forces = errors(batch([training[i] for i in shuffled[start : start + 5]]), model.train())
            ((energy / 15).square().mean() + forces.square().mean()).backward()
            optimizer.step()
            step += 1
            keep = min(0.999, (1 + step) / (10 + step))
            with torch.no_grad():
                for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
                    mean.lerp_(weight, 1 - keep)
            if spent >= 60 * request["minutes"]:
                break
        energy, forces = (
            torch.cat(parts) for parts in zip(*(errors(v, average.eval()) for v in validation), strict=True)
        )
        writer.writerow([step, spent, *(float(e.square().mean().sqrt()) for e in (energy, forces))])
        file.flush()
