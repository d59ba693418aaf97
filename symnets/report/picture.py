"""Figures as PNG, and the way results reach the disk: whole or not at all."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from symnets.data.whole_file import whole_file
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
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)
