"""Energies, forces and stress of mace-torch, in float64, for models with random weights and all options.

    python mace_reference.py OUTPUT.safetensors

runs in an environment with `mace-torch` and symnets. The file has the weights and settings of each model, as
`from_mace` reads them, and the structures with their results: the comparison needs no mace-torch. `CASES` has
one model for each group of options, with few channels.
"""

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from e3nn import o3
from mace.modules import MACE, ScaleShiftMACE, interaction_classes
from safetensors.torch import save_file

from symnets.data import AtomGraph, from_ase
from symnets.models._mace_reader import read_weights

SPECIES = (8, 1, 29)
CASES: dict[str, dict[str, Any]] = {
    "residuals, as MP-0": {"irreps": "2x0e+2x1o", "lmax": 3, "blocks": "Residual Residual"},
    "hidden scalars, no residual at first": {"irreps": "3x0e", "blocks": " Residual"},
    "no residuals": {"irreps": "2x0e+2x1o", "blocks": " ", "correlation": 2, "scale_shift": False},
    "density, Agnesi, repulsion, as MPA-0": {
        "irreps": "2x0e+2x1o",
        "lmax": 3,
        "blocks": "Density DensityResidual",
        "distance_transform": "Agnesi",
        "pair_repulsion": True,
    },
    "density without residuals, Gaussians, l = 2": {
        "irreps": "2x0e+2x1o+2x2e",
        "blocks": "Density Density",
        "correlation": 2,
        "radial_type": "gaussian",
        "num_bessel": 6,
    },
    "two heads, correlation by layer, soft": {
        "irreps": "2x0e+2x1o",
        "blocks": "DensityResidual DensityResidual",
        "correlation": [3, 2],
        "distance_transform": "Soft",
        "radial_type": "gaussian",
        "pair_repulsion": True,
        "heads": ["one", "other"],
    },
    "three layers, linear readout, other constants": {
        "irreps": "2x0e+2x1o",
        "blocks": "Residual ",
        "num_interactions": 3,
        "correlation": 2,
        "distance_transform": "Agnesi",
        "gate": None,
    },
    "one layer, repulsion without scale": {
        "irreps": "2x0e",
        "blocks": "Residual Residual",
        "num_interactions": 1,
        "scale_shift": False,
        "pair_repulsion": True,
        "distance_transform": "Soft",
    },
}
"""Options of each model: those of mace-torch, the hidden irreps, lmax, the classes of the first and of the
other blocks (`RealAgnostic...InteractionBlock`), and whether it is a ScaleShiftMACE."""


def structures() -> dict[str, Atoms]:
    """A molecule and a crystal of low symmetry, with some short distances, for the repulsion."""
    rng = np.random.default_rng(0)
    molecule = Atoms("OHHCuOH", rng.uniform(0, 2.5, (6, 3)))
    cell = [[4.0, 0.2, 0.0], [0.5, 3.6, 0.3], [0.1, -0.4, 3.8]]
    crystal = Atoms("CuOHHO", scaled_positions=rng.uniform(0, 1, (5, 3)), cell=cell, pbc=True)
    return {"molecule": molecule, "crystal": crystal}


def mace_model(
    irreps: str, blocks: str, *, lmax: int = 2, scale_shift: bool = True, species=SPECIES, **options: Any
) -> torch.nn.Module:
    """A model of mace-torch with random weights, in torch's default dtype."""
    first, others = (interaction_classes[f"RealAgnostic{b}InteractionBlock"] for b in blocks.split(" "))
    heads = options.get("heads", ["Default"])
    arguments = {
        "r_max": 4.0,
        "num_bessel": 4,
        "num_polynomial_cutoff": 5,
        "max_ell": lmax,
        "interaction_cls": others,
        "interaction_cls_first": first,
        "num_interactions": 2,
        "num_elements": len(species),
        "hidden_irreps": o3.Irreps(irreps),
        "MLP_irreps": o3.Irreps("3x0e"),
        "atomic_energies": np.array([[-1.5 - head - z / 10 for z in species] for head in range(len(heads))]),
        "avg_num_neighbors": 9.5,
        "atomic_numbers": list(species),
        "correlation": 3,
        "gate": torch.nn.functional.silu,
        "radial_MLP": [5, 4],
        "heads": heads,
    } | options
    if scale_shift:
        scale, shift = ([1.3, 0.8], [0.2, -0.4]) if len(heads) > 1 else (1.3, 0.2)
        model = ScaleShiftMACE(atomic_inter_scale=scale, atomic_inter_shift=shift, **arguments)
    else:
        model = MACE(**arguments)
    return model


def perturb(model: torch.nn.Module) -> torch.nn.Module:
    """Change the constants of the radial functions, which training may change."""
    transform = getattr(model.radial_embedding, "distance_transform", None)
    for module, names in ((transform, "aqp"), (model.radial_embedding.bessel_fn, ["bessel_weights"])):
        for name in names:
            if hasattr(module, name):
                getattr(module, name).mul_(1.02)
    return model


def mace_results(model: torch.nn.Module, graph: AtomGraph, head: int = 0) -> dict[str, torch.Tensor]:
    """Energies, forces and, for crystals, stress by mace-torch."""
    species = model.atomic_numbers
    shift = graph.edge_shift.to(graph.pos.dtype)
    batch = graph.owner
    data = {
        "positions": graph.pos.clone(),
        "node_attrs": (graph.z[:, None] == species).to(graph.pos.dtype),
        "edge_index": graph.edge_index,
        # mace-torch has vector = pos[receiver] - pos[sender] + shift
        "unit_shifts": -shift,
        "shifts": -torch.einsum("ea,eab->eb", shift, graph.cell[batch[graph.edge_index[0]]]),
        "cell": graph.cell.flatten(0, 1),
        "batch": batch,
        "ptr": torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(batch).cumsum(0)]),
        "head": torch.full((graph.n_graphs,), head),
    }
    out = model.eval()(data, compute_stress=bool(graph.pbc.all()))
    return {name: out[name] for name in ("energy", "forces", "stress") if out[name] is not None}


def main() -> None:
    """Write all models and their results."""
    torch.set_default_dtype(torch.float64)
    document: dict[str, Any] = {
        "versions": {name: version(name) for name in ("mace-torch", "e3nn", "torch")},
        "structures": {
            name: {
                "numbers": atoms.numbers.tolist(),
                "positions": atoms.positions.tolist(),
                "cell": atoms.cell.tolist(),
                "pbc": atoms.pbc.tolist(),
            }
            for name, atoms in structures().items()
        },
        "models": {},
    }
    tensors = {}
    for seed, (name, options) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        model = mace_model(**options)
        if "other constants" in name:
            perturb(model)
        heads = options.get("heads", [None])
        weights = read_weights(model, heads[-1])
        settings = asdict(weights)
        for key, array in settings.pop("arrays").items():
            tensors[f"{name}/{key}"] = array.contiguous()
        document["models"][name] = {"settings": settings, "results": {}}
        for label, atoms in structures().items():
            results = mace_results(model, from_ase(atoms, 4.0, dtype=torch.float64), len(heads) - 1)
            document["models"][name]["results"][label] = {k: v.tolist() for k, v in results.items()}
            print(name, label, results["energy"].item(), results["forces"].abs().max().item(), flush=True)
    save_file(tensors, sys.argv[1], {"document": json.dumps(document)})
    print(Path(sys.argv[1]).stat().st_size, "bytes")


if __name__ == "__main__":
    main()
