"""Archive: tensors and a JSON header in one safetensors file, written whole and checked when read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from symnets.data.whole_file import whole_file


def write_archive(
    path: str | Path, kind: str, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write tensors and a JSON header; the file appears whole or not at all.

    Args:
        path: the file; its folder is made.
        kind: what the file is, such as "model"; `read_archive` asks for it.
        tensors: by name, from any device.
        header: anything JSON can hold.
    """
    # A copy of each: safetensors refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in sorted(tensors.items())}
    text = json.dumps(header, sort_keys=True)
    metadata = {"symnets": kind, "header": text, "sha256": _digest(kind, text, tensors)}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def read_header(path: str | Path, kind: str) -> dict[str, Any]:
    """The JSON header of an archive, without its tensors (and without checking them)."""
    with _open(Path(path), kind) as file:
        return json.loads(file.metadata()["header"])


def read_archive(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and header of an archive; never runs code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, altered, of another kind or from another program.
    """
    path = Path(path)
    with _open(path, kind) as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    if metadata.get("sha256") != _digest(kind, metadata["header"], tensors):
        raise ValueError(f"{path}: the checksum does not match, the file was altered; use an intact copy")
    return tensors, json.loads(metadata["header"])


def _open(path: Path, kind: str) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a symnets {kind} file, but there is no such file")
    try:
        file = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise ValueError(
            f"{path}: not a whole safetensors file ({error}); "
            f"it was cut short, altered, or is no symnets {kind} file"
        ) from error
    found = (file.metadata() or {}).get("symnets")
    if found != kind:
        came = f"a symnets {found} file" if found else "a safetensors file of another program"
        raise ValueError(f"{path}: expected a symnets {kind} file, got {came}")
    return file


def _digest(kind: str, header: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(f"{kind}\n{header}\n".encode())
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
