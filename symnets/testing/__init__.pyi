from ._derivatives import assert_forces_match_energy as assert_forces_match_energy
from ._derivatives import assert_momenta_conserved as assert_momenta_conserved
from ._derivatives import assert_stress_matches_energy as assert_stress_matches_energy
from ._laws import LAWS as LAWS
from ._laws import Law as Law
from ._laws import assert_lawful as assert_lawful
from ._layers import assert_equivariant as assert_equivariant
from ._locality import assert_batch_equals_singles as assert_batch_equals_singles
from ._locality import assert_cell_choice_irrelevant as assert_cell_choice_irrelevant
from ._locality import assert_distant_molecules_do_not_interact as assert_distant_molecules_do_not_interact
from ._locality import assert_periodic_images_equivalent as assert_periodic_images_equivalent
from ._locality import assert_size_extensive as assert_size_extensive
from ._locality import assert_smooth_at_cutoff as assert_smooth_at_cutoff
from ._soundness import assert_few_atoms_work as assert_few_atoms_work
from ._soundness import assert_finite as assert_finite
from ._soundness import assert_inputs_untouched as assert_inputs_untouched
from ._soundness import assert_precisions_agree as assert_precisions_agree
from ._strategies import structures as structures
from ._structures import random_crystal as random_crystal
from ._structures import random_molecule as random_molecule
from ._structures import random_rotation as random_rotation
from ._symmetries import assert_permutation_equivariant as assert_permutation_equivariant
from ._symmetries import assert_reflection_equivariant as assert_reflection_equivariant
from ._symmetries import assert_rotation_equivariant as assert_rotation_equivariant
from ._symmetries import assert_translation_invariant as assert_translation_invariant
from ._symmetries import equivariance_error as equivariance_error

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
    "structures",
]
