"""Point clouds as graphs of neighbours, and the eight shapes of tetris."""

from typing import Any

import torch
from ase.data import chemical_symbols
from jaxtyping import Float
from torch import Tensor

from symnets.data._graph import AtomGraph
from symnets.data._neighbors import neighbors

SMALLEST_DISTANCE = 1e-6
"""Distance of two points, in units of the radius, below which they count as one point given twice."""


def point_cloud(
    positions: Any,
    radius: float,
    *,
    kinds: Any = None,
    features: Any = None,
    dtype: torch.dtype | None = None,
) -> AtomGraph:
    """Graph of a point cloud, with edges between points closer than a radius, for any graph network.

    The boundaries are open. Kind k is stored as atomic number k + 1, so that a network for a cloud of one
    kind has `species=("H",)`, and one for three kinds `species=(1, 2, 3)`. The network's cutoff and vectors
    are then in the unit of the cloud. Edges are computed without gradients; the positions keep theirs.

    Args:
        positions: positions of the points, (points, 3), a tensor or array; in any unit of length.
        radius: cutoff of the edges, in the unit of the positions.
        kinds: integers k >= 0, one for each point; 0 for all if None.
        features: numbers of each point, (points, dim), stored in the field `features`; equivariant features
            are in the order of the irreps that the network takes.
        dtype: dtype of positions and features; if None, that of `positions` if they are a floating-point
            tensor, else torch's default.

    Raises:
        ValueError: no points, shapes that do not fit, positions or features that are not finite, kinds out of
            range, or two points at the same place.

    Example:
        >>> graph = point_cloud([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], radius=1.1)
        >>> graph.edge_index.tolist()
        [[1, 0], [0, 1]]
    """
    pos = torch.as_tensor(positions)
    if dtype is None:
        given = isinstance(positions, Tensor) and positions.is_floating_point()
        dtype = pos.dtype if given else torch.get_default_dtype()
    if pos.ndim != 2 or pos.shape[1] != 3 or len(pos) == 0:
        raise ValueError(
            f"positions: expected shape (points, 3) with at least one point, got {tuple(pos.shape)}; pass "
            "one cloud at a time"
        )
    n, device = len(pos), pos.device
    cell, pbc = torch.zeros(3, 3, dtype=dtype, device=device), torch.zeros(3, dtype=torch.bool, device=device)
    edge_index, edge_shift = neighbors(pos, cell, pbc, radius, closest=SMALLEST_DISTANCE * radius)
    graph = AtomGraph(
        pos=pos.to(dtype),
        z=_numbers(kinds, n, device),
        cell=cell[None],
        pbc=pbc[None],
        edge_index=edge_index,
        edge_shift=edge_shift.to(dtype),
    )
    if features is not None:
        rows = torch.as_tensor(features, device=device).to(dtype)
        if rows.ndim != 2 or len(rows) != n or not bool(rows.isfinite().all()):
            raise ValueError(
                f"features: expected finite numbers of shape ({n}, dim), got shape {tuple(rows.shape)}"
            )
        graph.features = rows
    return graph


def _numbers(kinds: Any, n: int, device: torch.device) -> Tensor:
    """Atomic numbers that represent the kinds of points in a graph: kind + 1."""
    if kinds is None:
        return torch.ones(n, dtype=torch.int64, device=device)
    kinds = torch.as_tensor(kinds, device=device)
    is_integer = not (kinds.is_floating_point() or kinds.is_complex() or kinds.dtype == torch.bool)
    most = len(chemical_symbols) - 2
    if not is_integer or kinds.shape != (n,) or bool(((kinds < 0) | (kinds > most)).any()):
        raise ValueError(
            f"kinds: expected {n} integers from 0 to {most}, got {kinds.dtype} of shape {tuple(kinds.shape)}"
        )
    return kinds.long() + 1


def tetris(dtype: torch.dtype = torch.float64) -> dict[str, Float[Tensor, "4 3"]]:
    """The eight shapes of four unit cubes, by name: positions of the centres, neighbours at distance 1.

    "chiral 1" and "chiral 2" are mirror images (y -> -y) that no rotation maps onto each other. The other
    six are their own mirror images. They are the first example of e3nn and of Thomas et al. 2018,
    arXiv:1802.08219, section 5.1.
    """
    shapes = {
        "chiral 1": [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0]],
        "chiral 2": [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, -1, 0]],
        "square": [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]],
        "line": [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3]],
        "corner": [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]],
        "L": [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0]],
        "T": [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 1]],
        "zigzag": [[0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 1, 0]],
    }
    return {name: torch.tensor(rows, dtype=dtype) for name, rows in shapes.items()}
