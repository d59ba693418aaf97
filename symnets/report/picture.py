"""Figures as PNG, and the way results reach the disk: whole or not at all."""

import io
import os
from pathlib import Path

from matplotlib.figure import Figure

from symnets.report.style import style


def png(figure: Figure, *, dpi: float = 160) -> bytes:
    """The figure as a PNG image. Needs no display and no pyplot."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_picture(figure: Figure, path: str | Path, *, dpi: float = 160) -> Path:
    """Writes the figure as PNG, atomically, and makes its folder if need be."""
    return write(path, png(figure, dpi=dpi))


def write(path: str | Path, content: bytes) -> Path:
    """Writes a file under a temporary name and renames it: readers see it whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
