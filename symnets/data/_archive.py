"""Archive: tensors and a JSON header in one safetensors file, with a checksum."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from symnets.files import whole_file

_LENGTH = 8  # bytes of the header's length at the start of a safetensors file
_LONGEST_HEADER = 100_000_000  # safetensors' own limit


def write_archive(
    path: str | Path, kind: str, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write tensors and a JSON header; the file appears whole or not at all.

    Args:
        path: the file; its folder is created if needed.
        kind: kind of the file, such as "model"; `read_archive` checks it.
        tensors: tensors by name, on any device.
        header: data that JSON can represent.
    """
    # Copies, because safetensors does not accept tensors that share memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in sorted(tensors.items())}
    text = json.dumps(header, sort_keys=True)
    metadata = {"symnets": kind, "header": text, "sha256": _digest(kind, text, tensors)}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def read_kind(path: str | Path, *kinds: str) -> str:
    """Kind of an archive, which must be one of `kinds`, as given in its header.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, or of another kind.
    """
    path, named = Path(path), " or ".join(kinds)
    found = _any_metadata(path, named, _start(path, named)).get("symnets")
    if found not in kinds:
        raise _other_kind(path, named, found)
    return found


def read_header(path: str | Path, kind: str) -> dict[str, Any]:
    """Read the JSON header of an archive, without reading or checking its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, or of another kind.
    """
    path = Path(path)
    return _header(path, kind, _metadata(path, kind, _start(path, kind)))


def read_archive(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors (to the CPU) and the header of an archive; reading never executes code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, altered, of another kind or from another program.
    """
    path = Path(path)
    with _open(path, kind) as file:
        content = file.read()
    metadata = _metadata(path, kind, content)
    try:
        tensors = dict(sorted(load(content).items()))
    except SafetensorError as error:
        raise _not_whole(path, kind, error) from error
    if metadata.get("sha256") != _digest(kind, metadata["header"], tensors):
        raise ValueError(f"{path}: the checksum does not match, the file was altered; use an intact copy")
    return tensors, _header(path, kind, metadata)


def _open(path: Path, kind: str) -> BinaryIO:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a symnets {kind} file, but there is no such file")
    return path.open("rb")


def _start(path: Path, kind: str) -> bytes:
    """The bytes of a file before its tensors."""
    # Through one open file, because another process may replace the file between two reads.
    with _open(path, kind) as file:
        start = file.read(_LENGTH)
        return start + file.read(_header_bytes(path, kind, start))


def _header_bytes(path: Path, kind: str, start: bytes) -> int:
    length = int.from_bytes(start[:_LENGTH], "little")
    if len(start) < _LENGTH or length > _LONGEST_HEADER:
        raise _not_whole(path, kind, "no safetensors header at its start")
    return length


def _metadata(path: Path, kind: str, content: bytes) -> dict[str, str]:
    metadata = _any_metadata(path, kind, content)
    if metadata.get("symnets") != kind:
        raise _other_kind(path, kind, metadata.get("symnets"))
    if not isinstance(metadata.get("header"), str):
        raise _not_whole(path, kind, "its metadata have no header")
    return metadata


def _header(path: Path, kind: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        return json.loads(metadata["header"])
    except (ValueError, RecursionError) as error:
        raise _not_whole(path, kind, error) from error


def _any_metadata(path: Path, kind: str, content: bytes) -> dict[str, str]:
    """Metadata of a safetensors file: 8 bytes of length (little-endian), then that many bytes of JSON."""
    stop = _LENGTH + _header_bytes(path, kind, content)
    try:
        return dict(json.loads(content[_LENGTH:stop]).get("__metadata__") or {})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _not_whole(path, kind, error) from error


def _other_kind(path: Path, kind: str, found: str | None) -> ValueError:
    came = f"a symnets {found} file" if found else "a safetensors file of another program"
    return ValueError(f"{path}: expected a symnets {kind} file, got {came}")


def _not_whole(path: Path, kind: str, reason: object) -> ValueError:
    return ValueError(
        f"{path}: not a whole safetensors file ({reason}); "
        f"it was cut short, altered, or is no symnets {kind} file"
    )


def _digest(kind: str, header: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(f"{kind}\n{header}\n".encode())
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
