"""Every law can fail: force fields that are wrong in one way fail the law for it."""

import pytest
import torch

from symnets.data import from_ase
from symnets.models import EnergyForces, ForceField
from symnets.testing import LAWS, assert_equivariant, assert_lawful, equivariance_error
from symnets.testing._check import deviations
from symnets.testing._structures import sample_structures
from tests.laws import toys

OFFENDERS = [
    ("rotation", ForceField(toys.SeesTheXAxis())),
    ("reflection", ForceField(toys.Handed())),
    ("translation", ForceField(toys.Uncentred())),
    ("permutation", ForceField(toys.CountsAtoms())),
    ("batch", ForceField(toys.AveragesTheBatch())),
    ("batch", toys.NoStressInBatches(toys.EmbeddedAtom())),
    ("batch", toys.OneEnergyPerBatch(toys.EmbeddedAtom())),
    ("supercell", ForceField(toys.Averages())),
    ("supercell", ForceField(toys.LongArm())),
    ("distant molecules", ForceField(toys.LongArm())),
    ("periodic images", ForceField(toys.ForgetsShifts())),
    ("cell choice", ForceField(toys.ReadsTheCell())),
    ("cutoff", ForceField(toys.SharpForces())),
    ("cutoff", ForceField(toys.SharpEnergy())),
    ("few atoms", ForceField(toys.NeedsNeighbours())),
    ("finite", ForceField(toys.NeedsNeighbours())),
    ("inputs untouched", ForceField(toys.Scribbles())),
    ("inputs untouched", ForceField(toys.Drifts())),
    ("precision", toys.FloatEnergy(toys.EmbeddedAtom())),
    ("forces", toys.WrongSign(toys.EmbeddedAtom())),
    ("forces", ForceField(toys.RoundsToSingle())),
    ("stress", toys.StressOfStrangers(toys.EmbeddedAtom())),
    ("momenta", toys.NetForce(toys.EmbeddedAtom())),
    *(
        (law, toys.StressEveryOtherTime(toys.EmbeddedAtom()))
        for law in ("rotation", "translation", "periodic images", "cell choice", "supercell", "precision")
    ),
]
BOOK = {law.name: law for law in LAWS}


@pytest.mark.parametrize(
    ("law", "offender"),
    OFFENDERS,
    ids=[f"{law}-{type(getattr(o, 'energy_model', o)).__name__}-{type(o).__name__}" for law, o in OFFENDERS],
)
def test_offending_model_fails_its_law(law: str, offender: ForceField) -> None:
    with pytest.raises(AssertionError, match=f"the law '{law}' is broken: "):
        BOOK[law](offender)


def prediction(stress: torch.Tensor | None) -> EnergyForces:
    """A prediction for two structures of one atom each."""
    return EnergyForces(torch.zeros(2), torch.zeros(2, 3), stress, torch.zeros(2))


STRESS = torch.eye(3).expand(2, 3, 3)
NO_STRESS = torch.full((2, 3, 3), torch.nan)


@pytest.mark.parametrize(
    ("measured", "expected", "error"),
    [
        (None, None, 0.0),
        (NO_STRESS, None, 0.0),
        (NO_STRESS[:1], NO_STRESS, 0.0),
        (1.5 * STRESS, STRESS, 0.5),
        (torch.cat([STRESS[:1], NO_STRESS[:1]]), torch.cat([STRESS[:1], NO_STRESS[:1]]), 0.0),
        (None, STRESS, float("inf")),
        (STRESS, NO_STRESS, float("inf")),
        (torch.cat([STRESS[:1], NO_STRESS[:1]]), STRESS, float("inf")),
        (STRESS[:1], STRESS, float("inf")),
    ],
)
def test_a_stress_that_only_one_prediction_has_is_an_infinite_error(measured, expected, error) -> None:
    assert deviations(prediction(measured), prediction(expected))["stress"] == error


def test_a_stress_lost_under_rotation_is_no_small_equivariance_error() -> None:
    crystal = from_ase(sample_structures(toys.SPECIES)[1], toys.EmbeddedAtom.cutoff, dtype=torch.float64)
    assert equivariance_error(ForceField(toys.EmbeddedAtom()).eval(), crystal) < 1e-12
    assert equivariance_error(toys.StressEveryOtherTime(toys.EmbeddedAtom()).eval(), crystal) == float("inf")


def test_every_law_has_an_offender() -> None:
    assert {law for law, _ in OFFENDERS} == set(BOOK)


def test_failure_names_law_error_and_tolerance() -> None:
    with pytest.raises(
        AssertionError, match=r"the law 'rotation' is broken: error of energy 0\.\d+, tolerance 1e-10"
    ):
        BOOK["rotation"](ForceField(toys.SeesTheXAxis()))


def test_lawful_model_passes_and_exceptions_are_named() -> None:
    assert_lawful(ForceField(toys.EmbeddedAtom()))
    assert_lawful(ForceField(toys.Handed()), without=("reflection",))
    with pytest.raises(ValueError, match="'mirror'"):
        assert_lawful(ForceField(toys.EmbeddedAtom()), without=("mirror",))


def test_lawful_model_is_not_changed() -> None:
    force_field = ForceField(toys.EmbeddedAtom()).train()
    random = torch.get_rng_state()
    assert_lawful(force_field)
    assert force_field.training
    assert torch.equal(random, torch.get_rng_state())


def test_cross_product_is_a_pseudovector() -> None:
    assert_equivariant(torch.linalg.cross, ["1o", "1o"], "1e")
    with pytest.raises(AssertionError, match="equivariance under reflection"):
        assert_equivariant(torch.linalg.cross, ["1o", "1o"], "1o")
    assert_equivariant(torch.linalg.cross, ["1o", "1o"], "1o", parity=False)


def test_componentwise_nonlinearity_is_not_equivariant() -> None:
    with pytest.raises(AssertionError, match="equivariance under rotation"):
        assert_equivariant(torch.tanh, "2x1o", "2x1o")


def test_wrong_layout_is_caught() -> None:
    with pytest.raises(AssertionError, match="equivariance under rotation"):
        assert_equivariant(lambda x: x.view(-1, 4, 3).norm(dim=-1), "4x1o", "4x0e")
    assert_equivariant(lambda x: x.view(-1, 4, 3).norm(dim=-1), "4x1o", "4x0e", layout="mul_ir")
    assert_equivariant(lambda x: x.view(-1, 3, 4).norm(dim=-2), "4x1o", "4x0e", layout="ir_mul")


def test_wrong_number_of_columns_is_caught() -> None:
    with pytest.raises(AssertionError, match="expected 3 columns"):
        assert_equivariant(lambda x: x[:, :2], "1o", "1o")
