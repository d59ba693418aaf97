"""Laws on random structures of hypothesis: molecules, crystals, slabs, chains, tiny cells."""

import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from symnets.testing import LAWS, Law, structures
from symnets.testing._check import evaluate
from symnets.testing._strategies import SEEDS, crystals, molecules
from tests.laws.models import MODELS, SPECIES

NAMES = ("toy", "NequIP, lmax 2, parity on", "Invariant", "WithZBL")
FORCE_FIELDS = {name: MODELS[name]().double().eval() for name in NAMES}
KINDS = {"distant molecules": molecules, "stress": crystals, "few atoms": molecules}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@settings(max_examples=12)
@given(data=st.data(), seed=SEEDS)
def test_law_on_random_structures(law: Law, data: st.DataObject, seed: int) -> None:
    kind = KINDS.get(law.name, structures)
    atoms = data.draw(kind(SPECIES, max_atoms=5).filter(law.applies))
    law.check(FORCE_FIELDS[data.draw(st.sampled_from(NAMES))], atoms, seed=seed)


@given(structures(SPECIES))
def test_random_atoms_are_not_too_close(atoms: Atoms) -> None:
    distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
    if len(atoms) > 1:
        assert distances[distances > 0].min() > 0.7


@given(crystals(SPECIES))
def test_random_crystals_have_stress_where_they_have_volume(atoms: Atoms) -> None:
    stress = evaluate(FORCE_FIELDS["toy"], [atoms]).stress
    if atoms.cell.rank < 3:
        assert stress is None
    else:
        assert stress is not None
        assert stress.isfinite().all()
