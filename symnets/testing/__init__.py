"""The law book: what every force field and every layer must obey, for our tests and for yours.

`assert_lawful(force_field)` tries all laws of `LAWS`; each is a function of its own, too.
Random structures for `hypothesis` are in `symnets.testing.strategies`.
"""

from symnets.testing.book import LAWS, Law, assert_lawful
from symnets.testing.derivatives import (
    assert_forces_match_energy,
    assert_momenta_conserved,
    assert_stress_matches_energy,
)
from symnets.testing.layers import assert_equivariant
from symnets.testing.locality import (
    assert_batch_equals_singles,
    assert_distant_molecules_do_not_interact,
    assert_smooth_at_cutoff,
)
from symnets.testing.periodicity import (
    assert_cell_choice_irrelevant,
    assert_periodic_images_equivalent,
    assert_size_extensive,
)
from symnets.testing.soundness import (
    assert_few_atoms_work,
    assert_finite,
    assert_inputs_untouched,
    assert_precisions_agree,
)
from symnets.testing.structures import random_crystal, random_molecule, random_rotation
from symnets.testing.symmetries import (
    assert_permutation_equivariant,
    assert_reflection_equivariant,
    assert_rotation_equivariant,
    assert_translation_invariant,
    equivariance_error,
)

__all__ = [
    "LAWS",
    "Law",
    "assert_batch_equals_singles",
    "assert_cell_choice_irrelevant",
    "assert_distant_molecules_do_not_interact",
    "assert_equivariant",
    "assert_few_atoms_work",
    "assert_finite",
    "assert_forces_match_energy",
    "assert_inputs_untouched",
    "assert_lawful",
    "assert_momenta_conserved",
    "assert_periodic_images_equivalent",
    "assert_permutation_equivariant",
    "assert_precisions_agree",
    "assert_reflection_equivariant",
    "assert_rotation_equivariant",
    "assert_size_extensive",
    "assert_smooth_at_cutoff",
    "assert_stress_matches_energy",
    "assert_translation_invariant",
    "equivariance_error",
    "random_crystal",
    "random_molecule",
    "random_rotation",
]
