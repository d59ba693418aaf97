"""LAWS, the list of physical laws of force fields, and `assert_lawful`, which checks all of them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from ase import Atoms

from symnets.data import has_stress
from symnets.models import ForceField
from symnets.testing import _derivatives, _locality, _soundness, _symmetries
from symnets.testing._check import in_precision
from symnets.testing._structures import sample_structures


@dataclass(frozen=True)
class Law:
    """Physical law of force fields, which is called to check it.

    A call checks the law on random structures of the force field's species. It raises an AssertionError with
    the name of the law, the error and the tolerance if the law does not hold.
    """

    name: str
    """Name in messages, and in `without` of `assert_lawful`."""
    check: Callable[..., None]
    """`check(force_field, atoms, *, seed)`; most also take a `tolerance`."""
    applies: Callable[[Atoms], bool] = lambda atoms: True
    """Whether the law applies to a structure."""

    def __call__(self, force_field: ForceField, *, seed: int = 0) -> None:
        """Check the law on a molecule, two crystals and a slab."""
        force_field = in_precision(force_field, torch.float64)
        for atoms in sample_structures(force_field.species, seed=seed):
            if self.applies(atoms):
                self.check(force_field, atoms, seed=seed)


def _is_molecule(atoms: Atoms) -> bool:
    return not atoms.pbc.any()


def _is_periodic(atoms: Atoms) -> bool:
    return bool(atoms.pbc.any())


def _has_stress(atoms: Atoms) -> bool:
    return bool(has_stress(atoms.cell.array, atoms.pbc))


LAWS: tuple[Law, ...] = (
    Law("finite", _soundness.assert_finite),
    Law("few atoms", _soundness.assert_few_atoms_work, _is_molecule),
    Law("inputs untouched", _soundness.assert_inputs_untouched),
    Law("precision", _soundness.assert_precisions_agree),
    Law("batch", _locality.assert_batch_equals_singles),
    Law("translation", _symmetries.assert_translation_invariant),
    Law("rotation", _symmetries.assert_rotation_equivariant),
    Law("reflection", _symmetries.assert_reflection_equivariant),
    Law("permutation", _symmetries.assert_permutation_equivariant),
    Law("periodic images", _locality.assert_periodic_images_equivalent, _is_periodic),
    Law("cell choice", _locality.assert_cell_choice_irrelevant, _is_periodic),
    Law("supercell", _locality.assert_size_extensive, _is_periodic),
    Law("distant molecules", _locality.assert_distant_molecules_do_not_interact, _is_molecule),
    Law("cutoff", _locality.assert_smooth_at_cutoff),
    Law("forces", _derivatives.assert_forces_match_energy),
    Law("stress", _derivatives.assert_stress_matches_energy, _has_stress),
    Law("momenta", _derivatives.assert_momenta_conserved),
)
"""Laws that every force field must obey, from simple to complex: the first that fails is most informative."""


def assert_lawful(force_field: ForceField, *, seed: int = 0, without: Collection[str] = ()) -> None:
    """Check every law of `LAWS` on a force field.

    The force field is evaluated in float64 and evaluation mode; one in another dtype or mode is copied first.

    Args:
        force_field: any force field; wrap an energy model in `ForceField`.
        seed: seed of the structures and the symmetry operations.
        without: names of laws that need not hold, such as "reflection" for an SO(3) model.

    Raises:
        ValueError: `without` has a name that is not in `LAWS`.
        AssertionError: a law does not hold; the message is about the first one.
    """
    unknown = set(without) - {law.name for law in LAWS}
    if unknown:
        raise ValueError(f"without: expected names among {[law.name for law in LAWS]}, got {sorted(unknown)}")
    force_field = in_precision(force_field, torch.float64)
    for law in LAWS:
        if law.name not in without:
            law(force_field, seed=seed)
