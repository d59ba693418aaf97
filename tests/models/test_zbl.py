"""Nuclear repulsion against numbers computed by hand."""

import math

import torch
from ase import Atoms

from symnets.data import from_ase
from symnets.models import ForceField, NequIP, WithZBL


def repulsion(symbols, distance, **options):
    model = WithZBL(NequIP(sorted(set(symbols)), cutoff=4.0, channels=2, layers=1, lmax=0), **options)
    atoms = Atoms(symbols, [[0, 0, 0], [0, 0, distance]])
    return model.repulsion(from_ase(atoms, 4.0, dtype=torch.float64)).sum().item()


def test_close_nuclei_have_the_screened_coulomb_energy():
    r, z1, z2 = 0.05, 6, 8
    a = 0.8854 * 0.529177210903 / (z1**0.23 + z2**0.23)
    pairs = [(0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4029), (0.02817, 0.2016)]
    expected = 14.3996454784255 * z1 * z2 / r * sum(c * math.exp(-d * r / a) for c, d in pairs)
    assert math.isclose(repulsion(["C", "O"], r), expected, rel_tol=1e-6)


def test_constants_of_the_law_are_options():
    """With decays of 0 and an exponent of 0 it is the Coulomb law times the sum of the amplitudes."""
    r = 0.05
    bare = 2.0 * 10.0 * 6 * 8 / r * (0.1818 + 0.5099 + 0.2802 + 0.02817)
    found = repulsion(["C", "O"], r, scale=2.0, coulomb=10.0, decays=(0.0,) * 4, order=5)
    assert math.isclose(found, bare, rel_tol=1e-5)
    a = 0.3 / 2
    screened = repulsion(["C", "O"], r, length=0.3, exponent=0.0, decays=(1.0,) * 4)
    assert math.isclose(screened, repulsion(["C", "O"], r, decays=(0.0,) * 4) * math.exp(-r / a))


def test_repulsion_ends_at_the_sum_of_the_covalent_radii():
    assert repulsion(["C", "O"], 0.76 + 0.66) == 0.0
    assert repulsion(["C", "O"], 0.76 + 0.66 - 0.05) > 0


def test_repulsion_pushes_atoms_apart():
    model = ForceField(WithZBL(NequIP(["H"], cutoff=4.0, channels=2, layers=1, lmax=0, scale=1e-6))).eval()
    out = model(from_ase(Atoms("H2", [[0, 0, 0], [0, 0, 0.1]]), 4.0))
    assert out.forces[0, 2] < 0 < out.forces[1, 2]
