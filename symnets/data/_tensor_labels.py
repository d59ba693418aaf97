"""Tensor labels of structures and atoms: dipoles, charges, and any other columns of files."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from symnets.data._frame_labels import keys_in_words, keys_present, values_by_key
from symnets.data._graph import AtomGraph
from symnets.data._loader import TENSOR


class TensorColumn(NamedTuple):
    """Key of a tensor label in a file, and its shape."""

    key: str
    """Key in `atoms.info`, `atoms.arrays` or the calculator's results."""
    shape: tuple[int, ...]
    """Shape of the label of one structure or atom; a 3x3 matrix may be given as 6 numbers, in ASE's order
    xx, yy, zz, yz, xz, xy, or as 9."""
    of_atoms: bool
    """Whether the label belongs to each atom rather than to each structure."""
    about_origin: bool = False
    """Whether it is a dipole μ about the origin of the coordinates. It is then converted to the dipole about
    the centre of mass R, μ - Q R, with the charge Q of the structure."""


def has_tensor(structures: Sequence[Atoms], column: TensorColumn) -> bool:
    """Whether some structure has the key of a column."""
    return any(column.key in values_by_key(atoms, per_atom=column.of_atoms) for atoms in structures)


def add_tensor_labels(
    graphs: Sequence[AtomGraph],
    structures: Sequence[Atoms],
    columns: Mapping[str, TensorColumn],
    *,
    source: str = "structures",
    names: Sequence[str] | None = None,
) -> dict[str, int]:
    """Give graphs the tensor labels and the charges of their structures.

    Numbers that are missing or NaN in the structure are NaN in the graph. The charge in e is
    `atoms.info["charge"]`, or zero without this entry; models of charges and dipoles conserve it.

    Args:
        graphs: graphs of the structures, which are changed.
        structures: in the same order.
        columns: column of each label, by the name of the label, such as "dipole".
        source: name of the file in error messages.
        names: names of the structures in error messages; by default their indices.

    Returns:
        the number of labelled structures, by name of the label.

    Raises:
        ValueError: no structure has a label of some name (the keys present are listed), or a label has
            another shape or is infinite.
    """
    counts = dict.fromkeys(columns, 0)
    for index, (graph, atoms) in enumerate(zip(graphs, structures, strict=True)):
        where = names[index] if names is not None else f"{source}, frame {index}"
        charge = _charge(where, atoms)
        graph.charge = torch.tensor([charge], dtype=torch.float64, device=graph.pos.device)
        for name, column in columns.items():
            shape = (len(atoms) if column.of_atoms else 1, *column.shape)
            values = values_by_key(atoms, per_atom=column.of_atoms)
            label = np.full(shape, np.nan)
            if column.key in values:
                label = _label(where, column, values[column.key], shape)
                counts[name] += not np.isnan(label).all()
            if column.about_origin:
                label = label - charge * atoms.get_center_of_mass()
            graph[TENSOR + name] = torch.from_numpy(label).to(graph.pos)
    for name, column in columns.items():
        if not counts[name]:
            per = "per atom" if column.of_atoms else "per structure"
            raise ValueError(
                f"{source}: none of {len(structures)} structures has {name} {per} under the key "
                f"{column.key!r}. {keys_in_words(keys_present(structures))}"
            )
    return counts


def _charge(where: str, atoms: Atoms) -> float:
    given = atoms.info.get("charge", 0.0)
    try:
        charge = float(given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: charge: expected a number in e, got {given!r:.80}") from error
    if not np.isfinite(charge):
        raise ValueError(f"{where}: charge: expected a finite number, got {charge}")
    return charge


def _label(where: str, column: TensorColumn, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        value = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {column.key}: expected numbers, got {given!r:.80}") from error
    if column.shape == (3, 3) and value.size == 6 * shape[0]:
        value = np.stack([voigt_6_to_full_3x3_stress(six) for six in value.reshape(-1, 6)])
    if value.size != np.prod(shape):
        expected = f"{int(np.prod(column.shape))} numbers per {'atom' if column.of_atoms else 'structure'}"
        raise ValueError(f"{where}: {column.key}: expected {expected}, got shape {value.shape}")
    if np.isinf(value).any():
        raise ValueError(f"{where}: {column.key}: expected finite numbers, or NaN for missing, got infinity")
    return value.reshape(shape)
