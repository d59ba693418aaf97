"""Tangent kernels that are larger than memory, written block by block to a .npy file."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from symnets.data import AtomGraph
from symnets.files import claim, locked, read_report, whole_file
from symnets.observables._progress_bar import progress_bar
from symnets.observables._tangent_kernel._dense_terms import Outputs
from symnets.observables._tangent_kernel._kernel import tangent_kernel
from symnets.observables._tangent_kernel._members import has_inputs_of_members
from symnets.observables._tangent_kernel._points import n_points, ranges, take_points


def write_tangent_kernel(
    path: str | os.PathLike[str],
    model: nn.Module,
    x1: Any,
    x2: Any = None,
    *,
    outputs: Outputs = "full",
    block: int = 2000,
    max_bytes: int = 2**30,
    progress: bool = True,
    overwrite: bool = False,
) -> np.memmap:
    """Write a tangent kernel to a file, block by block, and return it as a memory-mapped array.

    `numpy.load(path, mmap_mode="r")` opens the .npy file without reading all of it. Until the file is
    complete it is named `PATH.part`, and `PATH.part.json` lists the blocks that are done: if a call is
    killed, the same call with the same model and points computes the missing blocks. Only one half is
    computed if x2 is None.

    Args:
        path: the file.
        model: as for `tangent_kernel`.
        x1: points of the rows, as for `tangent_kernel`, or a numpy array, which may be memory-mapped.
        x2: points of the columns; those of the rows if None.
        outputs: convention for several outputs.
        block: number of points on each side of a block.
        max_bytes: memory for activations or gradients of a block.
        progress: whether to show a progress bar on stderr.
        overwrite: whether to replace a file at `path`, and an unfinished file of another kernel.

    Raises:
        ValueError: the file exists, or an unfinished file of another model or of other points; or batch
            normalisation or dropout is in training mode, so that outputs would depend on the block.
        OSError: the disk has no room for the kernel.
        FileExistsError: another process is writing the same file.
    """
    _check_mode(model)
    if block < 1:
        raise ValueError(f"block: expected at least 1, got {block}")
    path = claim(path, overwrite=overwrite, option="path")
    part = path.with_name(f"{path.name}.part")
    notes = path.with_name(f"{path.name}.part.json")
    columns = x1 if x2 is None else x2
    sizes = _count(model, x1), _count(model, columns)
    if 0 in sizes:
        raise ValueError(f"x: expected at least one point, got {sizes[0]} and {sizes[1]}")

    def entries(rows: slice, others: slice) -> Tensor:
        left = _take(model, x1, rows)
        right = None if x2 is None and rows == others else _take(model, columns, others)
        return tangent_kernel(model, left, right, outputs=outputs, max_bytes=max_bytes)

    identity = {
        "model": _fingerprint(model),
        "rows": _fingerprint(x1),
        "columns": None if x2 is None else _fingerprint(x2),
        "outputs": outputs,
        "block": block,
    }
    with locked(path, file=True, option="path"):
        corner = entries(slice(0, 1), slice(0, 1)).cpu().numpy()
        axis = 0 if getattr(model, "members", None) is None else 1
        shape = (*corner.shape[:axis], *sizes, *corner.shape[axis + 2 :])
        found = read_report(notes) if part.exists() else {}
        same = found.get("identity") == identity and np.allclose(found["corner"], corner, rtol=1e-3)
        if found and not same and not overwrite:
            raise ValueError(
                f"{part}: unfinished file of another kernel (model, points, outputs or block differ); repeat "
                "the call with those, choose another path, or pass overwrite"
            )
        done = {tuple(pair) for pair in found["done"]} if same else set()
        kernel = _open(part, corner.dtype, shape, resumed=same)
        pairs = [
            (rows, others)
            for rows in ranges(sizes[0], block)
            for others in ranges(sizes[1], block)
            if x2 is not None or others.start <= rows.start
        ]
        with progress_bar(
            "tangent kernel", "blocks", len(pairs), done=len(done), visible=progress
        ) as show_progress:
            for rows, others in pairs:
                if (rows.start, others.start) in done:
                    continue
                values = entries(rows, others).cpu()
                _put(kernel, axis, rows, others, values)
                if x2 is None and rows != others:
                    values = values.transpose(axis, axis + 1)
                    values = values.mT if values.ndim == axis + 4 else values
                    _put(kernel, axis, others, rows, values)
                kernel.flush()
                done.add((rows.start, others.start))
                report = {"identity": identity, "corner": corner.tolist(), "done": sorted(done)}
                with whole_file(notes) as temporary:
                    temporary.write_text(json.dumps(report), "utf-8")
                show_progress(len(done), "")
        del kernel
        os.replace(part, path)
        notes.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r")


def _put(kernel: ndarray, axis: int, rows: slice, columns: slice, values: Tensor) -> None:
    kernel[(slice(None),) * axis + (rows, columns)] = values.numpy()


def _open(part: Path, dtype: np.dtype, shape: tuple[int, ...], *, resumed: bool) -> np.memmap:
    """Open the file; the space of a new one is reserved, as a full disk would kill the process later."""
    if resumed:
        return np.lib.format.open_memmap(part, mode="r+")
    kernel = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        try:
            with part.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
        except OSError as error:
            part.unlink(missing_ok=True)
            error.filename = str(part)
            raise
    return kernel


def _count(model: nn.Module, x: Any) -> int:
    if isinstance(x, AtomGraph):
        return n_points(x)
    return x.shape[1] if has_inputs_of_members(model, x) else x.shape[0]


def _take(model: nn.Module, x: Any, points: slice) -> Any:
    if isinstance(x, AtomGraph):
        return take_points(x, points)
    part = x[:, points] if has_inputs_of_members(model, x) else x[points]
    return part if isinstance(part, Tensor) else torch.from_numpy(np.array(part))


def _check_mode(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if module.training and isinstance(module, _BatchNorm | _DropoutNd):
            raise ValueError(
                f"model: {name or 'it'} ({type(module).__name__}) is in training mode, where outputs depend "
                "on the block; use model.eval()"
            )


def _fingerprint(value: Any) -> str:
    """Hash of the weights and the structure of a model, or of points."""
    digest = hashlib.sha256()
    if isinstance(value, nn.Module):
        trained = [name for name, p in value.named_parameters() if p.requires_grad]
        text = re.sub(r" at 0x[0-9a-f]+", "", str(value))
        digest.update(f"{type(value).__module__}.{type(value).__qualname__} {text} {trained}".encode())
        fields = {k: v for k, v in value.state_dict().items() if isinstance(v, Tensor)}
    else:
        fields = value.to_dict() if isinstance(value, AtomGraph) else {"x": value}
    for name, field in fields.items():
        if not isinstance(field, Tensor | ndarray):
            continue
        digest.update(f"{name} {tuple(field.shape)} {field.dtype}".encode())
        for rows in ranges(len(field) if field.ndim else 1, 1024):
            some: Any = field[rows] if field.ndim else field
            some = (
                some.detach().cpu().contiguous() if isinstance(some, Tensor) else np.ascontiguousarray(some)
            )
            digest.update(np.asarray(some).tobytes())
    return digest.hexdigest()[:16]
