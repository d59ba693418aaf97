"""from_nequix: published weights of Nequix as symnets force fields."""

import io
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symnets.files import expanded
from symnets.models._force_field import ForceField
from symnets.models._foundation_file import foundation_file
from symnets.models._foundation_list import FOUNDATION_MODELS
from symnets.models._nequix import Nequix
from symnets.names import did_you_mean
from symnets.nn import SILU_NORM, Interaction, RMSNorm

NEQUIX = {
    name: model.published
    for name, model in FOUNDATION_MODELS.items()
    if model.family == "nequix" and model.published
}
"""Published files of Nequix, by name. Sources: arXiv:2508.16067, arXiv:2601.07742; MIT licence."""
_GATE_NORM = 1.6765620560798837
"""Factor of silu in the gates of e3nn-jax: 1 / rms of silu at 1,000,001 quantiles of N(0, 1). `Gate` has
`SILU_NORM`, the factor of e3nn, which is an average over random numbers."""
_AFTER_GATE = _GATE_NORM / SILU_NORM
"""Factor of the weights of linear layers that read the output of a gate: it replaces one norm by another."""
_REQUIRED = {"layer_norm": True, "index_weights": False}
"""Settings of Nequix for which symnets' `Nequix` can represent one value only."""
_READ = (
    *(
        "atomic_numbers",
        "cutoff",
        "hidden_irreps",
        "lmax",
        "n_layers",
        "radial_basis_size",
        "radial_mlp_size",
    ),
    *("radial_mlp_layers", "radial_polynomial_p", "avg_n_neighbors", "shift", "scale"),
)
"""Settings that describe the model."""
_OF_TRAINING = {
    *("atom_energies", "avg_n_edges", "avg_n_nodes", "batch_size", "cache_dir", "checkpoint_grad_energy"),
    *("ema_decay", "energy_weight", "extra_energy_weight", "extra_force_weight", "extra_stress_weight"),
    *("extra_train_path", "extra_train_steps", "extra_val_frac", "extra_val_path", "finetune_from"),
    *(
        "force_weight",
        "grad_clip_norm",
        "hessian_weight",
        "kernel",
        "learning_rate",
        "log_every",
        "loss_type",
    ),
    *("max_n_edges", "max_n_nodes", "mlp_init_scale", "n_epochs", "n_graph", "optimizer"),
    *("readout_initialization", "resume_from", "state_path", "stress_weight", "train_path", "val_every"),
    *("val_path", "valid_frac", "valid_path", "wandb_run_id", "warmup_epochs", "warmup_factor"),
    "weight_decay",
}
"""Settings that do not change the model. `atom_energies` is one of them, since the reference energies are
read from the first array of the file."""


def from_nequix(name_or_path: str | Path, *, dtype: torch.dtype = torch.float32) -> ForceField:
    """Read a Nequix model as a force field, in evaluation mode. No code in the file is run.

    The file of a published name is read from the folder `nequix` of SYMNETS_DATA, or else downloaded once
    into the user's cache; its sha256 must be that of the published file. A path needs no network. `save`
    writes the force field to a symnets file. In float64 energies and forces are those of Nequix up to the
    rounding in Nequix.

    Args:
        name_or_path: one of `NEQUIX`, such as "nequix-oam-1", or the path of an `.nqx` file.
        dtype: dtype of weights and arithmetic; published weights are float32, which float64 represents
            exactly.

    Raises:
        ValueError: an unknown name; a file that is cut short, altered or of another kind; a model that
            `Nequix` cannot represent.
        FileNotFoundError: there is no such file.
        OSError: the download failed; the message says where to put the file.

    Example:
        force_field = from_nequix("nequix-oam-1")
        save(force_field, "nequix-oam-1.safetensors")
    """
    settings, arrays = read_nequix(_find(name_or_path))
    return ForceField(_model(settings, arrays, str(name_or_path)).to(dtype)).eval()


def _find(name_or_path: str | Path) -> Path:
    """Path of an `.nqx` file, given by the name of a published model or by its path."""
    if str(name_or_path) in NEQUIX:
        return foundation_file(name_or_path)
    path = expanded(name_or_path)
    if path.is_file():
        return path
    if path.suffix or path.parent != Path():
        raise FileNotFoundError(f"{path}: there is no such file")
    raise ValueError(
        f"nequix: unknown model {str(name_or_path)!r}; {did_you_mean(str(name_or_path), NEQUIX)}"
    )


def read_nequix(path: Path) -> tuple[dict[str, Any], Iterator[NDArray[Any]]]:
    """Settings and arrays of an `.nqx` file: a line of JSON, then arrays in NumPy's format, without pickles.

    Raises:
        ValueError: the file is of another kind; or, from the iterator, an array is cut or has objects.
    """
    line, _, rest = path.read_bytes().partition(b"\n")
    try:
        settings = json.loads(line)
    except ValueError as error:
        raise ValueError(
            f"{path}: expected a Nequix file, which begins with a line of JSON; pickles, such as files of "
            "Nequix for torch, are not read, since loading one runs the code in it"
        ) from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: expected settings as a JSON object, got {type(settings).__name__}")

    def arrays() -> Iterator[NDArray[Any]]:
        stream = io.BytesIO(rest)
        for number in itertools.count():
            try:
                yield np.lib.format.read_array(stream, allow_pickle=False)
            except (ValueError, EOFError, SyntaxError, TokenError, MemoryError, OverflowError) as error:
                raise ValueError(f"{path}: array {number} is damaged or missing: {error}") from error

    return settings, arrays()


@torch.no_grad()
def _model(settings: Mapping[str, Any], arrays: Iterator[NDArray[Any]], name: str) -> Nequix:
    """The symnets model with the weights of a file."""
    if missing := [key for key in _READ if key not in settings]:
        raise ValueError(f"{name}: the settings lack {', '.join(missing)}")
    different = [
        f"{key} = {value}, got {settings.get(key)}"
        for key, value in _REQUIRED.items()
        if settings.get(key) != value
    ]
    if different:
        raise ValueError(f"{name}: expected {'; '.join(different)}, which symnets cannot represent")
    if unknown := settings.keys() - {*_READ, *_REQUIRED, *_OF_TRAINING}:
        options = ", ".join(f"{key} = {settings[key]!r:.40}" for key in sorted(unknown))
        raise ValueError(f"{name}: the settings have options that may change the model: {options}")
    try:
        species = [int(number) for number in settings["atomic_numbers"]]
        references = _checked(next(arrays), (len(species),), f"{name}: array 0")
        model = Nequix(
            species,
            cutoff=float(settings["cutoff"]),
            irreps=str(settings["hidden_irreps"]).replace(" ", ""),
            lmax=int(settings["lmax"]),
            layers=int(settings["n_layers"]),
            n_basis=int(settings["radial_basis_size"]),
            radial_hidden=(int(settings["radial_mlp_size"]),) * int(settings["radial_mlp_layers"]),
            envelope_order=int(settings["radial_polynomial_p"]),
            mean_neighbors=float(settings["avg_n_neighbors"]),
            shift=(float(settings["shift"]) + references).tolist(),
            scale=float(settings["scale"]),
        )
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{name}: a setting has a value of a wrong kind: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if species != list(model.species):
        raise ValueError(f"{name}: expected atomic numbers in increasing order, got {species}")
    # The file has the arrays in the order of Nequix's fields: references, layers, readout. Nequix
    # does not read what follows in some files either.
    layers = zip(model.interactions, [1.0, *[_AFTER_GATE] * (len(model.interactions) - 1)], strict=True)
    places = [place for layer, factor in layers for place in _places(layer, factor)]  # pyright: ignore
    places.append((model.readout.weights[0], _AFTER_GATE))  # pyright: ignore[reportIndexIssue]
    for number, (place, factor) in enumerate(places, start=1):
        array = _checked(next(arrays), tuple(place.shape), f"{name}: array {number}")
        place.copy_(factor * torch.from_numpy(array))
    return model


def _checked(array: NDArray[Any], shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    """Check that an array has a shape and finite numbers; returns it in float64."""
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape} by the settings of the file, got {array.shape}")
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN, infinity or {array.dtype}")
    return array.astype(np.float64)


def _places(layer: Interaction, factor: float) -> list[tuple[Tensor, float]]:
    """Weights of a layer in the order of Nequix, and the factors by which those of the file are multiplied.

    `factor` multiplies the weights that read the input features of the layer.

    Both codes divide linear layers by the square root of their number of inputs, except in radial networks:
    Nequix has no factors there, whereas `MLP` has those of e3nn.
    """
    radial = [
        (weight, weight.shape[0] ** 0.5 / (SILU_NORM if depth else 1.0))
        for depth, weight in enumerate(layer.convolution.radial.weights)
    ]
    before = [(weight, factor) for weight in layer.before.weights]
    after = [(weight, 1.0) for weight in layer.after.weights]
    skip = [(weight[0], factor) for weight in layer.self_connection.weights if weight.numel()]
    assert isinstance(layer.norm, RMSNorm)
    assert layer.norm.weight is not None
    gains = [(gain, 1.0) for gain in layer.norm.weight.split(layer.norm.channels)]
    return [*radial, *before, *after, *skip, *gains]
