"""Active members: their inputs and targets, and parameters that require no gradient."""

import pytest
import torch
from torch import nn

from symnets.data import Batch
from symnets.models import Convolutional, Dense, Ensemble
from symnets.training import (
    Checkpoint,
    Criterion,
    QuadraticHinge,
    TrainState,
    Verdict,
    descend_members,
    gradient_flow,
    levenberg_marquardt,
)
from symnets.training._active_members import ActiveMembers

NEVER = Criterion(tolerance=-1e9, gradient=0.0)


def draw(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def signs(*shape):
    return draw(*shape, seed=2).sign()


def ensemble(kind, members=3):
    generator = torch.Generator().manual_seed(0)
    options = {"members": members, "generator": generator, "dtype": torch.float64}
    if kind == "dense":
        return Dense(4, 5, 1, **options)
    if kind == "convolutional":
        return Convolutional((1, 2, 2), 5, 1, **options)
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Flatten(), nn.Linear(4, 1), nn.Flatten(0)).double() for _ in range(members)]
    return Ensemble(layers)


@pytest.mark.parametrize("targets", [(3,), (3, 3)], ids=["labels of all", "labels of each"])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("dense", (3, 4)),
        ("dense", (3, 3, 4)),
        ("convolutional", (3, 1, 2, 2)),
        ("convolutional", (3, 3, 1, 2, 2)),
        ("ensemble", (3, 4)),
        ("ensemble", (3, 2, 2)),
    ],
)
def test_active_members_have_the_outputs_of_the_whole_ensemble(kind, shape, targets):
    """With n = S the sizes do not distinguish members from patterns; the number of axes does."""
    model, batch = ensemble(kind), Batch(draw(*shape), signs(*targets))
    active = ActiveMembers(TrainState(model), batch)
    expected, labels = model(batch.inputs), batch.targets.expand(3, 3)
    active.finish({1: Verdict.SAT})
    torch.testing.assert_close(active.model(active.inputs), expected[[0, 2]], rtol=1e-12, atol=1e-13)
    assert torch.equal(active.targets.expand(2, 3), labels[[0, 2]])


@pytest.mark.parametrize("kind", ["dense", "convolutional", "ensemble"])
@pytest.mark.parametrize("flow", [False, True])
def test_parameters_without_gradient_stay_fixed_when_a_member_has_finished(kind, flow, tmp_path):
    model = ensemble(kind)
    frozen = next(iter(model.parameters()))
    frozen.requires_grad_(False)
    others = list(model.parameters())[1:]
    before = [p.detach().clone() for p in model.parameters()]
    shape = (6, 4) if kind == "dense" else (6, 1, 2, 2)
    batch = Batch(draw(*shape), signs(6))
    with torch.no_grad():
        others[0][1].fill_(torch.nan)  # finishes at the first look
    state = TrainState(model, None if flow else torch.optim.Adam(others, lr=0.01))
    options = {"budget": 12, "stride": 2, "criterion": NEVER}
    for _ in (gradient_flow if flow else descend_members)(state, QuadraticHinge(), batch, **options):
        pass
    assert state.members.verdicts[1] == "DIVERGED"
    assert torch.equal(frozen, before[0])
    assert not torch.equal(others[0][0], before[1][0])
    Checkpoint(tmp_path / "c", 1).write(state)
    state.state_dict()  # the optimiser has no state for a parameter that is not its own


def test_levenberg_marquardt_refuses_parameters_without_gradient():
    model = ensemble("dense")
    model.weights[0].requires_grad_(False)
    with pytest.raises(ValueError, match="expected all weights trainable"):
        next(levenberg_marquardt(TrainState(model), QuadraticHinge(), Batch(draw(6, 4), signs(6)), budget=1))
