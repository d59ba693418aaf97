"""Files of small Nequix models with random weights."""

import io
import json
from pathlib import Path

import numpy as np

from symnets.models import Nequix
from symnets.models._from_nequix import _places

SETTINGS = {
    "atomic_numbers": [1, 8],
    "cutoff": 4.0,
    "avg_n_neighbors": 9.0,
    "scale": 0.5,
    "shift": -1.0,
    "hidden_irreps": "4x0e + 3x1o + 2x2e",
    "lmax": 2,
    "n_layers": 3,
    "radial_basis_size": 4,
    "radial_mlp_size": 8,
    "radial_mlp_layers": 2,
    "radial_polynomial_p": 5.0,
    "index_weights": False,
    "layer_norm": True,
}


def small_file(path: Path, *, settings: dict | None = None, change=lambda arrays: arrays) -> Path:
    """A file of a small model with random weights, in the format of Nequix."""
    model = Nequix(
        (1, 8), cutoff=4.0, irreps="4x0e+3x1o+2x2e", lmax=2, layers=3, n_basis=4, radial_hidden=(8, 8)
    )
    arrays = [np.array([-3.0, -5.0], np.float32)]
    arrays += [place.detach().numpy() for layer in model.interactions for place, _ in _places(layer, 1.0)]
    arrays.append(model.readout.weights[0].detach().numpy())
    stream = io.BytesIO()
    for array in change(arrays):
        np.lib.format.write_array(stream, np.asarray(array), allow_pickle=True)
    path.write_bytes(json.dumps(SETTINGS | (settings or {})).encode() + b"\n" + stream.getvalue())
    return path
