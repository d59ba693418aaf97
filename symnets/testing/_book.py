"""The law book: every law a force field must obey, and one line that tries them all."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from ase import Atoms

from symnets.models import ForceField
from symnets.testing import (
    _derivatives as derivatives,
)
from symnets.testing import (
    _locality as locality,
)
from symnets.testing import (
    _locality as periodicity,
)
from symnets.testing import (
    _soundness as soundness,
)
from symnets.testing import (
    _symmetries as symmetries,
)
from symnets.testing._structures import specimens
from symnets.testing._verdict import in_precision


@dataclass(frozen=True)
class Law:
    """A law of force fields.

    Calling it with a force field tries it on structures drawn for the force field's species, and
    raises AssertionError, naming the law, the error and the tolerance, if it is broken.
    """

    name: str
    check: Callable[..., None]
    """`check(force_field, atoms, *, seed)`; most take a `tolerance` too."""
    applies: Callable[[Atoms], bool] = lambda atoms: True
    """Whether the law speaks about a structure."""

    def __call__(self, force_field: ForceField, *, seed: int = 0) -> None:
        """Try the law on a molecule, two crystals and a slab."""
        force_field = in_precision(force_field, torch.float64)
        for atoms in specimens(force_field.species, seed=seed):
            if self.applies(atoms):
                self.check(force_field, atoms, seed=seed)


def _is_molecule(atoms: Atoms) -> bool:
    return not atoms.pbc.any()


def _is_periodic(atoms: Atoms) -> bool:
    return bool(atoms.pbc.any())


def _has_stress(atoms: Atoms) -> bool:
    return bool(atoms.pbc.any() and atoms.cell.rank == 3)


LAWS: tuple[Law, ...] = (
    Law("finite", soundness.assert_finite),
    Law("few atoms", soundness.assert_few_atoms_work, _is_molecule),
    Law("inputs untouched", soundness.assert_inputs_untouched),
    Law("precision", soundness.assert_precisions_agree),
    Law("batch", locality.assert_batch_equals_singles),
    Law("translation", symmetries.assert_translation_invariant),
    Law("rotation", symmetries.assert_rotation_equivariant),
    Law("reflection", symmetries.assert_reflection_equivariant),
    Law("permutation", symmetries.assert_permutation_equivariant),
    Law("periodic images", periodicity.assert_periodic_images_equivalent, _is_periodic),
    Law("cell choice", periodicity.assert_cell_choice_irrelevant, _is_periodic),
    Law("supercell", periodicity.assert_size_extensive, _is_periodic),
    Law("distant molecules", locality.assert_distant_molecules_do_not_interact, _is_molecule),
    Law("cutoff", locality.assert_smooth_at_cutoff),
    Law("forces", derivatives.assert_forces_match_energy),
    Law("stress", derivatives.assert_stress_matches_energy, _has_stress),
    Law("momenta", derivatives.assert_momenta_conserved),
)
"""Simple laws first: the first that breaks says most."""


def assert_lawful(force_field: ForceField, *, seed: int = 0, without: Collection[str] = ()) -> None:
    """Try every law on a force field.

    The force field is judged in float64 and evaluation mode, on a copy if it is not so already.

    Args:
        force_field: any force field; put an energy model of your own into `ForceField`.
        seed: draws the structures and the symmetry operations.
        without: names of laws that need not hold, e.g. "reflection" for an SO(3) model.

    Raises:
        ValueError: if `without` names a law that is not in the book.
        AssertionError: for the first law that is broken.
    """
    unknown = set(without) - {law.name for law in LAWS}
    if unknown:
        raise ValueError(f"without: expected names among {[law.name for law in LAWS]}, got {sorted(unknown)}")
    force_field = in_precision(force_field, torch.float64)
    for law in LAWS:
        if law.name not in without:
            law(force_field, seed=seed)
