"""Search for duplicates: structures that occur twice, possibly with wrapped or permuted atoms."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from ase import Atoms
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.spatial import KDTree

_TOLERANCE = 1e-4  # Å
_LENGTH = 7.0  # Å, period of the waves along directions that are not periodic
_WAVES = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 1, 1)], dtype=np.float64)
"""Integer vectors k of the sums over atoms by which structures are compared, see `duplicates`."""


def duplicates(
    structures: Sequence[Atoms], others: Sequence[Atoms] | None = None, *, tolerance: float = _TOLERANCE
) -> list[tuple[int, int]]:
    """Pairs of equal structures: equal lattice vectors, species, and positions up to a tolerance.

    Atoms may be in another order, and wrapped to other periodic images. Structures that are shifted or
    rotated as a whole count as different.

    Structures are first compared by the sums over atoms Σ_a w(Z_a) exp(2πi k·s_a) for some integer vectors k,
    where s_a are the coordinates of atom a in units of the lattice vectors, and w(Z) = 0.75 + cos(Z) / 4 is a
    weight for the atomic number Z. Neither order nor wrapping changes these sums, and a small displacement
    changes them little. Only structures that are close in all sums are compared atom by atom.

    Args:
        structures: structures that may occur among the others.
        others: structures to compare with; None for the earlier ones among `structures`.
        tolerance: largest difference, in Å, of the position of each atom and of each component of the
            periodic lattice vectors.

    Returns:
        pairs (index in `structures`, index in `others`), in the order of the former; if a structure equals
        several of the others, the first of these.
    """
    groups: dict[tuple[bytes, bytes], tuple[list[int], list[int]]] = {}
    for side, frames in enumerate((structures, () if others is None else others)):
        for index, atoms in enumerate(frames):
            key = np.sort(atoms.numbers).tobytes(), atoms.pbc.tobytes()
            groups.setdefault(key, ([], []))[side].append(index)
    pairs = []
    for mine, theirs in groups.values():
        if len(mine) == 1 if others is None else not (mine and theirs):
            continue
        places = np.array([_sums(structures[index]) for index in mine])
        if others is None:
            theirs, elsewhere, frames = mine, places, structures
        else:
            elsewhere, frames = np.array([_sums(others[index]) for index in theirs]), others
        # A sum changes by at most the largest displacement of an atom, plus a few times the change of the
        # lattice vectors.
        near = KDTree(elsewhere).query_ball_point(places, 6 * tolerance, p=np.inf, return_sorted=True)
        for index, candidates in zip(mine, near, strict=True):
            for other in (theirs[candidate] for candidate in candidates):
                if others is None and other >= index:
                    break
                if _equal(structures[index], frames[other], tolerance):
                    pairs.append((index, other))
                    break
    return sorted(pairs)


def _sums(atoms: Atoms) -> Float[ndarray, " sums"]:
    """The sums over atoms and the lattice vectors of a structure, in one vector.

    The sums are scaled so that they change by at most the largest displacement of an atom.
    """
    scaled, lattice = _scaled(atoms)
    slope = 2 * np.pi * np.linalg.norm(np.linalg.inv(lattice), 2) * np.linalg.norm(_WAVES, axis=1)
    weights = 0.75 + 0.25 * np.cos(atoms.numbers)
    waves = (weights @ np.exp(2j * np.pi * scaled @ _WAVES.T)) / len(atoms) / slope
    return np.concatenate([waves.real, waves.imag, lattice.ravel()])


def _scaled(atoms: Atoms) -> tuple[Float[ndarray, "atoms 3"], Float[ndarray, "3 3"]]:
    """Coordinates in units of the lattice vectors, and these vectors.

    Coordinates along periodic vectors are wrapped to [0, 1). Lattice vectors that are not periodic are
    replaced by vectors of length 7 Å orthogonal to the others.
    """
    periodic = np.flatnonzero(atoms.pbc)
    vectors = list(atoms.cell.array[periodic])
    if not vectors:
        return atoms.positions / _LENGTH, _LENGTH * np.eye(3)
    if len(vectors) == 1:  # a wire: any direction across it, the same for nearly equal wires
        along = int(np.abs(vectors[0]).round(3).argmax())
        vectors.append(np.cross(vectors[0], np.eye(3)[along - 1]))
    if len(vectors) == 2:
        vectors.append(np.cross(vectors[0], vectors[1]))
    order = [*periodic, *np.flatnonzero(~atoms.pbc)]
    lattice = np.empty((3, 3))
    lattice[order] = [
        vector if k < len(periodic) else _LENGTH * vector / np.linalg.norm(vector)
        for k, vector in enumerate(vectors)
    ]
    scaled = atoms.positions @ np.linalg.inv(lattice)
    scaled[:, atoms.pbc] %= 1.0
    return scaled, lattice


def _equal(a: Atoms, b: Atoms, tolerance: float) -> bool:
    """Whether two structures of the same composition are equal up to order and wrapping of atoms."""
    (first, lattice), (second, other) = _scaled(a), _scaled(b)
    if np.abs(lattice - other)[a.pbc].max(initial=0.0) > tolerance:
        return False
    if np.array_equal(a.numbers, b.numbers) and _near(second - first, lattice, a.pbc, tolerance).all():
        return True
    images = np.array(list(product(*((-1, 0, 1) if axis else (0,) for axis in a.pbc))))
    matched: set[int] = set()
    for number in set(a.numbers):
        rows, columns = np.flatnonzero(a.numbers == number), np.flatnonzero(b.numbers == number)
        places = (second[columns][None] + images[:, None]).reshape(-1, 3) @ lattice
        distance, nearest = KDTree(places).query(first[rows] @ lattice)
        if distance.max() > tolerance:
            return False
        matched |= set(columns[nearest % len(columns)].tolist())
    return len(matched) == len(a)


def _near(
    moves: Float[ndarray, "atoms 3"],
    lattice: Float[ndarray, "3 3"],
    pbc: Bool[ndarray, "3"],
    tolerance: float,
) -> Bool[ndarray, " atoms"]:
    """Whether displacements in units of the lattice vectors are below the tolerance up to periodic images."""
    return np.linalg.norm((moves - np.rint(moves) * pbc) @ lattice, axis=1) <= tolerance
