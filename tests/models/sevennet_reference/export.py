"""Write SevenNet's own numbers to this folder; run where sevenn is installed.

    python -m tests.models.sevennet_reference.export

`published.npz` holds energies, forces and stresses of the published potentials in float64. `tiny.npz` holds
those of small nets and their random weights, so that the architecture is compared where sevenn is not
installed.
"""

import json
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from e3nn import o3
from sevenn import _const
from sevenn.atom_graph_data import AtomGraphData
from sevenn.model_build import build_E3_equivariant_model
from sevenn.train.dataload import unlabeled_atoms_to_graph
from sevenn.util import load_checkpoint

from symnets.models._from_sevennet import read_weights
from tests.models.sevennet_reference.structures import STRUCTURES, TINY

HERE = Path(__file__).parent
SPECIES = (8, 1, 6)  # not in order, as SevenNet's alphabetical lists
PUBLISHED = {
    "7net-0": None,
    "7net-0_22may2024": None,
    "7net-l3i5": None,
    "7net-mf-0, PBE": "PBE",
    "7net-mf-0, R2SCAN": "R2SCAN",
}
"""Potentials inside SevenNet's package, and the fidelity."""
SHARED = {
    "cutoff": 4.0,
    "channel": 4,
    "lmax": 2,
    "is_parity": False,
    "num_convolution_layer": 3,
    "weight_nn_hidden_neurons": [6],
    "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 5},
    "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.2},
    "self_connection_type": "linear",
    "conv_denominator": [3.0, 2.5, 3.5],
    "shift": [-4.0, -1.5, -6.0],
    "scale": [0.8, 1.3, 1.1],
    "_number_of_species": 3,
    "_type_map": {z: i for i, z in enumerate(SPECIES)},
    "_normalize_sph": True,
}
FIDELITIES = {
    "use_modality": True,
    "_modal_map": {"low": 0, "high": 1},
    "_number_of_modalities": 2,
    "use_modal_self_inter_intro": True,
    "use_modal_self_inter_outro": True,
    "use_modal_output_block": True,
    "use_modal_wise_shift": True,
    "use_modal_wise_scale": False,
}
UNIVERSAL = {z: z for z in range(10)}
"""Elements up to fluorine; index 0 belongs to no element, as in SevenNet's universal lists."""
UNEVEN = ["4x0e", "4x0e+3x1e+2x2e", "3x0e+2x1e+2x2e", "4x0e"]
BOTH_PARITIES = ["3x0e", "3x0e+2x1o+2x2e", "3x0e+2x1o+2x1e+2x2e", "2x0o+3x0e+2x1o+2x1e+2x2e", "3x0e"]
NETS = {
    "uneven widths": {"irreps_manual": UNEVEN},
    "polynomial envelope": {
        "cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": 5},
        "lmax": 3,
        "channel": 3,
    },
    "parity, species": {"is_parity": True, "self_connection_type": "nequip", "lmax": 1},
    "solid harmonics": {"irreps_manual": UNEVEN, "_normalize_sph": False},
    "fidelities": {
        **FIDELITIES,
        "irreps_manual": UNEVEN,
        "shift": [[-4.0, -1.5, -6.0], [-4.2, -1.6, -6.5]],
    },
    "universal, parity, fidelities": {
        **FIDELITIES,
        "use_modal_node_embedding": True,
        "use_modal_wise_scale": True,
        "is_parity": True,
        "self_connection_type": "nequip",
        "irreps_manual": BOTH_PARITIES,
        "num_convolution_layer": 4,
        "conv_denominator": [3.0, 2.5, 3.5, 2.0],
        "_type_map": UNIVERSAL,
        "_number_of_species": len(UNIVERSAL),
        "shift": [[-0.5 * z for z in UNIVERSAL], [-0.6 * z for z in UNIVERSAL]],
        "scale": [[0.8] * len(UNIVERSAL), [1.2] * len(UNIVERSAL)],
    },
}


def exact(net: torch.nn.Module) -> torch.nn.Module:
    """The net in float64, with coupling coefficients in float64 too, which it keeps in float32."""
    net = net.double().eval()
    for name, buffer in net.named_buffers():
        if "_w3j_" in name:
            degrees = map(int, name.split("_w3j_")[1].split("_"))
            buffer.copy_(o3.wigner_3j(*degrees, dtype=torch.float64))
    # The one-hot species are float32 whatever the net is.
    net._modules["onehot_idx_to_onehot"].register_forward_hook(lambda module, inputs, data: _double(data))
    net.set_is_batch_data(False)
    return net


def _double(data: AtomGraphData) -> AtomGraphData:
    for key in ("x", "node_attr"):
        data[key] = data[key].double()
    return data


def evaluate(
    net: torch.nn.Module, atoms: Atoms, cutoff: float, modality: str | None = None
) -> dict[str, np.ndarray]:
    """Energy, forces and stress of a structure."""
    raw = unlabeled_atoms_to_graph(atoms, cutoff)
    data = AtomGraphData.from_numpy_dict(dict(raw))
    for key, value in data.to_dict().items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():  # rounded to float32
            data[key] = torch.as_tensor(raw[key], dtype=torch.float64)
    if modality is not None:
        data["data_modality"] = modality
    out = net(data)
    numbers = {"energy": out["inferred_total_energy"], "forces": out["inferred_force"]}
    if atoms.cell.rank == 3:
        numbers["stress"] = -out["inferred_stress"][[0, 1, 2, 4, 5, 3]]  # ASE's sign and order
    return {name: value.detach().numpy() for name, value in numbers.items()}


def write(name: str, arrays: dict[str, np.ndarray], **header: object) -> None:
    """Write arrays and a JSON header to one file."""
    packages = ("sevenn", "e3nn", "torch", "ase")
    header["versions"] = {package: version(package) for package in packages}
    np.savez_compressed(HERE / name, header=np.array(json.dumps(header)), **arrays)
    print(name, (HERE / name).stat().st_size, "bytes")


def published() -> None:
    """Write the energies, forces and stress of the published potentials."""
    arrays = {}
    for model, modality in PUBLISHED.items():
        net = exact(load_checkpoint(model.partition(",")[0]).build_model())
        for structure, atoms in STRUCTURES.items():
            for key, value in evaluate(net, atoms, 5.0, modality).items():
                arrays[f"{model}/{structure}/{key}"] = value
            print(model, structure, arrays[f"{model}/{structure}/energy"])
    write("published.npz", arrays)


def tiny() -> None:
    """Write the weights of small nets, and their energies, forces and stress."""
    arrays, nets = {}, {}
    for seed, (name, settings) in enumerate(NETS.items()):
        torch.manual_seed(seed)
        config = {**_const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG, **SHARED, **settings}
        net = build_E3_equivariant_model(config)
        with torch.no_grad():
            net._modules["edge_embedding"].basis_function.coeffs.mul_(1.05)
        modality = len(config.get("_modal_map", {})) - 1  # the last of several
        weights = read_weights(net, config, max(modality, 0))
        for key, value in weights.arrays.items():
            arrays[f"{name}/weights/{key}"] = value.numpy()
        fields = ("species", "arguments", "modality", "n_modalities")
        nets[name] = {field: getattr(weights, field) for field in fields}
        nets[name]["layers"] = [asdict(layer) for layer in weights.layers]
        net = exact(net)
        for structure, atoms in TINY.items():
            chosen = "high" if weights.n_modalities else None
            for key, value in evaluate(net, atoms, SHARED["cutoff"], chosen).items():
                arrays[f"{name}/{structure}/{key}"] = value
    write("tiny.npz", arrays, nets=nets)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    tiny()
    published()
