"""Neighbour lists with periodic images."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from ase.geometry import complete_cell
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor
from vesin import NeighborList

# vesin divides by zero and crashes the process in boxes of more than about 1e9 cutoffs.
_MAX_LENGTH = 1e7
_MAX_EDGES = 3e8
_MAX_IMAGES = 1000
MIN_SEPARATION = 1e-3
"""Distance in Å below which two atoms count as being at the same place, which `neighbors` refuses."""


class Neighbors(NamedTuple):
    """Edges between atoms closer than a cutoff; each pair of atoms has an edge in both directions."""

    edge_index: Int[Tensor, "2 edges"]
    """Row 0 the sender j, row 1 the receiver i, sorted by receiver."""
    edge_shift: Float[Tensor, "edges 3"]
    """Whole numbers of lattice vectors added to the sender's position."""


def neighbors(
    pos: Float[Tensor, "atoms 3"] | NDArray,
    cell: Float[Tensor, "3 3"] | NDArray,
    pbc: Bool[Tensor, "3"] | NDArray | Sequence[bool],
    cutoff: float,
    *,
    closest: float = MIN_SEPARATION,
) -> Neighbors:
    """Edges (j, i) with shifts S such that |pos[j] + S @ cell - pos[i]| < cutoff.

    The structure may be periodic along any of its lattice vectors, and the cell may be triclinic. In cells
    smaller than the cutoff the images of an atom are its neighbours. `vesin` finds the edges in float64, in a
    time linear in the number of atoms.

    Args:
        pos: positions (atoms, 3) in Å, wrapped or not.
        cell: rows of (3, 3) are lattice vectors in Å; rows without periodicity are ignored and may be zero.
        pbc: periodicity along each of the three lattice vectors.
        cutoff: distance in Å below which two atoms are neighbours.
        closest: distance in Å below which two atoms are an error.

    Returns:
        tensors on the device of `pos`; `edge_shift` has the dtype of `pos` (float64 for a numpy array).

    Raises:
        ValueError: positions or a cell with NaN, infinity or enormous numbers; periodic lattice vectors that
            span no volume; two atoms at the same place; or so many pairs that the unit of length must be
            wrong.
    """
    like = pos if isinstance(pos, Tensor) else None
    points, box, periodic = _float64(pos), _float64(cell), _numpy(pbc).astype(bool)
    _check_shapes(points, box, periodic, cutoff)
    _check_sizes(points, box, periodic, cutoff)

    # One thread, because the order of edges and of floating-point sums must not depend on the machine.
    search = NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)
    pairs, shift, distance = search.compute(points, box, periodic, quantities="PSd", copy=False)
    if len(distance) and distance.min() < closest:
        receiver, sender = pairs[distance.argmin()]
        raise ValueError(
            f"pos: atoms {receiver} and {sender} are at the same place ({distance.min():.2g} Å apart); "
            "remove the duplicate"
        )
    # Copies, because the arrays are views of vesin's memory.
    edge_index = torch.from_numpy(np.stack([pairs[:, 1], pairs[:, 0]]).view(np.int64))
    edge_shift = torch.from_numpy(shift.astype(np.float64))
    if like is None:
        return Neighbors(edge_index, edge_shift)
    dtype = like.dtype if like.dtype.is_floating_point else torch.float64
    return Neighbors(edge_index.to(like.device), edge_shift.to(like.device, dtype))


def near_origin(pos: NDArray, cell: NDArray, pbc: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions moved to the origin, where float32 rounds them least, and the lattice vectors subtracted.

    Each atom is moved into the cell by whole lattice vectors; then all atoms are shifted together, so that
    the mean of their positions is the origin. This is done in float64. Distances between atoms and their
    images do not change.

    Args:
        pos: (atoms, 3) in Å.
        cell: rows of (3, 3) are lattice vectors in Å.
        pbc: (3,) booleans.

    Returns:
        positions (atoms, 3) in Å, equal to `pos - wrap @ cell` minus its mean; and `wrap` (atoms, 3), the
        whole numbers of lattice vectors that were subtracted.
    """
    wrap = np.zeros((len(pos), 3))
    periodic = cell * pbc[:, None]  # lattice vectors that are not periodic may be zero or arbitrary
    if np.linalg.matrix_rank(periodic) == pbc.sum():  # otherwise `neighbors` raises
        wrap = np.floor(pos @ np.linalg.inv(complete_cell(periodic))) * pbc
    return centered(pos, cell, wrap), wrap


def centered(pos: NDArray, cell: NDArray, wrap: NDArray) -> NDArray[np.float64]:
    """Positions (atoms, 3) with their mean at the origin: `pos - wrap @ cell` minus its mean, in Å.

    `wrap` (atoms, 3) has the whole numbers of lattice vectors to subtract, see `near_origin`.
    """
    shifted = np.asarray(pos, dtype=np.float64) - wrap @ cell
    return shifted - shifted.mean(axis=0)


def _numpy(value: Tensor | NDArray | Sequence[bool]) -> NDArray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _float64(value: Tensor | NDArray) -> NDArray[np.float64]:
    return np.ascontiguousarray(_numpy(value), dtype=np.float64)


def _check_shapes(points: NDArray, box: NDArray, periodic: NDArray, cutoff: float) -> None:
    for name, array, expected in (
        ("pos", points, (len(points), 3)),
        ("cell", box, (3, 3)),
        ("pbc", periodic, (3,)),
    ):
        if array.shape != expected:
            shape = "(atoms, 3)" if name == "pos" else expected
            raise ValueError(
                f"{name}: expected shape {shape}, got {array.shape}; pass one structure at a time"
            )
    if not 0 < cutoff < _MAX_LENGTH:
        raise ValueError(f"cutoff: expected a positive length in Å, got {cutoff}")


def _check_sizes(points: NDArray, box: NDArray, periodic: NDArray, cutoff: float) -> None:
    """Raise ValueError for structures that would crash the search or fill the memory."""
    if not np.isfinite(points).all():
        atom = int(np.argwhere(~np.isfinite(points))[0, 0])
        raise ValueError(f"pos: expected finite positions, got {points[atom].tolist()} for atom {atom}")
    if not np.isfinite(box).all():
        raise ValueError(f"cell: expected finite lattice vectors, got {box.tolist()}")
    largest = max(np.abs(points).max(initial=0), np.abs(box).max(initial=0))
    if largest > _MAX_LENGTH:
        raise ValueError(
            f"pos, cell: expected coordinates below {_MAX_LENGTH:.0e} Å, got {largest:.3g}; "
            "check the unit of length"
        )
    volume = 1.0
    spans = np.ptp(points, axis=0) + cutoff if len(points) else np.full(3, cutoff)
    if periodic.any():
        vectors = box[periodic]
        gram = vectors @ vectors.T
        lengths = np.sqrt(gram.diagonal())
        # Squared volume relative to an orthogonal cell: 1 if orthogonal, 0 if the vectors are dependent.
        relative_volume = np.linalg.det(gram) / max(np.prod(gram.diagonal()), 1e-300)
        if lengths.min() == 0 or relative_volume < 1e-12:
            raise ValueError(
                f"cell: the periodic lattice vectors {vectors.tolist()} span no volume; "
                "pass a cell, or set pbc to False along the missing vectors"
            )
        heights = 1 / np.sqrt(np.linalg.inv(gram).diagonal())
        if cutoff / heights.min() > _MAX_IMAGES:
            raise ValueError(
                f"cell: {heights.min():.3g} Å between periodic images is too thin for a cutoff of {cutoff} Å"
                "; check the unit of length"
            )
        volume = math.sqrt(np.linalg.det(gram))
    if not periodic.all():
        volume *= float(np.sort(spans)[-int((~periodic).sum()) :].prod())
    expected = len(points) ** 2 * 4 / 3 * math.pi * cutoff**3 / volume
    if expected > _MAX_EDGES:
        raise ValueError(
            f"pos: about {expected:.1e} pairs of neighbours within {cutoff} Å ({len(points)} atoms in "
            f"{volume:.3g} Å³) do not fit in memory; check the unit of length"
        )
