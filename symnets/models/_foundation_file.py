"""foundation_file: path of a model's file; files of published models are downloaded or converted once."""

import os
import zipfile
from pathlib import Path

import pooch

from symnets.downloads import cache, download
from symnets.models._foundation_list import FOUNDATION_MODELS, FoundationModel
from symnets.models._from_sevennet import from_sevennet
from symnets.models._model_file import save
from symnets.names import did_you_mean

NQX = ".nqx"
"""Suffix of the files of Nequix."""


def foundation_file(name_or_path: str | os.PathLike[str]) -> Path:
    """Path of a model's file; the file of a published model is downloaded or converted if it is not cached.

    Raises:
        ValueError, FileNotFoundError, ModuleNotFoundError, OSError: as `foundation_model`.
    """
    name = str(name_or_path)
    if (model := FOUNDATION_MODELS.get(name)) is not None:
        return _file(model)
    path = Path(name_or_path)
    if not path.exists() and not path.suffix and path.parent == Path():
        raise FileNotFoundError(
            f"{name}: there is no such file, and no published model of this name; "
            f"{did_you_mean(name, FOUNDATION_MODELS)}"
        )
    if path.is_file() and _is_pickle(path):
        raise ValueError(
            f"{path}: a pickle, which symnets never reads, since loading one runs the code in it. Convert it "
            "once, where the package that wrote it is installed, and only if you trust it: "
            f"save(from_mace({name!r}), 'model.safetensors') for a file of mace-torch, "
            f"save(from_sevennet({name!r}), 'model.safetensors') for a checkpoint of sevenn, with the "
            "functions of symnets.models"
        )
    return path


def _file(model: FoundationModel) -> Path:
    """Path of the file of a published model."""
    path = model.cached
    if model.published is not None:
        if path is None or path.parent == cache() / model.family:
            return download(model.published, cache() / model.family)
        if (found := pooch.file_hash(str(path))) != model.published.sha256:
            raise ValueError(
                f"{path}: expected the published file with the sha256 {model.published.sha256}, got {found}; "
                "replace or remove it, or give its path in place of the name"
            )
        return path
    if path is not None:
        return path
    return _converted(model)


def _converted(model: FoundationModel) -> Path:
    """Convert a model and return its path in the cache, or raise an error that says how to convert it."""
    path = cache() / model.family / model.file
    if model.family == "sevennet":
        save(from_sevennet(model.source, modality=model.modality), path)
        return path
    raise FileNotFoundError(
        f"{model.name}: its weights have to be converted once. Download {model.source}, then, where "
        "mace-torch is installed (pip install 'symnets[mace]'), run in Python: from symnets.models import "
        f"from_mace, save; save(from_mace('FILE'), {str(path)!r})"
    )


def _is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, or an archive of torch with a pickle in it."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[:2] == b"PK":
        return zipfile.is_zipfile(path) and any(
            name.endswith(".pkl") for name in zipfile.ZipFile(path).namelist()
        )
    # Pickles of protocol 2 or later, which torch and Python write, begin with 0x80. A safetensors file may
    # begin so too, with the length of its header; its byte 8 is the "{" of the header.
    return start[:1] == b"\x80" and start[8:] != b"{"
