"""Scaled: α (f(w) - f(w0)) is zero before training, only w is trained, and any module can be wrapped."""

import copy

import pytest
import torch
from ase.build import molecule
from torch import nn

from symnets.data import Batch, Loader, TensorPairs, from_ase
from symnets.models import Convolutional, Dense, Ensemble, ForceField, Linearized, NequIP, Scaled, load, save
from symnets.training import (
    MSE,
    Criterion,
    TrainState,
    Verdict,
    descend,
    descend_members,
    gradient_flow,
)
from symnets.training._active_members import ActiveMembers


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def dense(members=3, **options):
    return Dense(3, 4, 2, bias=True, members=members, generator=seeded(), dtype=torch.float64, **options)


def image_net(seed):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 1)]
    return nn.Sequential(*layers).double()


CASES = {
    "dense": (lambda: dense(activation="tanh"), (7, 3)),
    "convolutional": (
        lambda: Convolutional((1, 6, 6), 4, 2, members=3, generator=seeded(), dtype=torch.float64),
        (7, 1, 6, 6),
    ),
    "ensemble with batch normalisation": (lambda: Ensemble([image_net(k) for k in range(3)]), (7, 1, 6, 6)),
}


def inputs(shape, seed=1):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def moved(model, size=0.3):
    """The model with changed weights."""
    generator = seeded(2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(size * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return model


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("keep_start", [False, True])
def test_the_output_is_zero_at_first_and_then_the_difference(case, keep_start):
    build, shape = CASES[case]
    model, x = build().eval(), inputs(shape)
    before = model(x).detach()
    scaled = Scaled(model, [0.5, 2.0, 10.0], keep_start=keep_start)
    assert (scaled(x) == 0).all()
    assert len(list(scaled.parameters())) == len(list(model.parameters()))
    moved(model)
    alpha = torch.tensor([0.5, 2.0, 10.0], dtype=torch.float64).view(3, *[1] * (before.ndim - 1))
    expected = alpha * (model(x) - before)
    torch.testing.assert_close(scaled(x), expected, rtol=1e-12, atol=1e-12)
    # Members chosen, or single ones, keep their own α and w0.
    torch.testing.assert_close(scaled.select([2, 0])(x), expected[[2, 0]], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(scaled.member(1)(x), expected[1], rtol=1e-12, atol=1e-12)
    assert scaled.members == 3


def test_kept_values_follow_inputs_and_start():
    model = dense()
    scaled, x = Scaled(model, 2.0, keep_start=True), inputs((7, 3))
    scaled(x)
    moved(model)
    fresh = Scaled(model, 2.0, scaled.start)
    torch.testing.assert_close(scaled(x), fresh(x), rtol=1e-13, atol=1e-13)
    x.mul_(2.0)
    torch.testing.assert_close(scaled(x), fresh(x), rtol=1e-13, atol=1e-13)
    scaled.load_state_dict(Scaled(model, 2.0).state_dict())
    assert (scaled(x) == 0).all()


def test_initial_weights_follow_to_and_are_in_the_state_dict():
    model = dense()
    scaled, x = Scaled(model, 3.0), inputs((7, 3))
    moved(model)
    outputs = scaled(x)
    other = Scaled(dense(), 1.0)
    other.load_state_dict(scaled.state_dict())
    assert torch.equal(other(x), outputs)
    assert not any(p.requires_grad for p in other.start.parameters())
    single = copy.deepcopy(scaled).to(torch.float32)
    # Weights and outputs of order 1 with 24 bits, times 3.
    torch.testing.assert_close(single(x.float()).double(), outputs, rtol=0, atol=1e-5)


def test_running_averages_of_the_start_stay_as_they_were():
    """In training mode both functions normalise by the batch; only the model's own averages move."""
    model = image_net(0).train()
    scaled, x = Scaled(model, 1.0), inputs((7, 1, 6, 6))
    first = scaled.start[1].running_mean.clone()
    assert scaled(x).abs().max() < 1e-13
    assert torch.equal(scaled.start[1].running_mean, first)
    assert not torch.equal(model[1].running_mean, first)


def test_forces_are_those_of_the_difference_of_energies():
    graph = from_ase(molecule("H2O"), cutoff=4.0, dtype=torch.float64)
    torch.manual_seed(0)
    net = NequIP(species=["H", "O"], cutoff=4.0, lmax=1, layers=1, channels=2).double()
    first, scaled = copy.deepcopy(net), Scaled(net, 5.0)
    assert ForceField(scaled)(graph).forces.abs().max() < 1e-12
    moved(net, 0.05)
    expected = 5 * (ForceField(net)(graph).forces - ForceField(first)(graph).forces)
    # Sums of a few hundred terms of order 1.
    torch.testing.assert_close(ForceField(scaled)(graph).forces, expected, rtol=1e-9, atol=1e-10)
    assert expected.abs().max() > 1e-3


@pytest.mark.parametrize("wrap", [lambda net: Scaled(net, 2.0), Linearized])
@pytest.mark.parametrize("dynamics", ["descend", "descend_members", "gradient_flow"])
def test_members_train_as_they_would_alone(wrap, dynamics):
    x, y = inputs((8, 3)), torch.tensor([1.0, -1.0] * 4, dtype=torch.float64)

    def trained(predictor):
        state = TrainState(predictor)
        if dynamics == "gradient_flow":
            steps = gradient_flow(state, MSE(), Batch(x, y), budget=60, max_time=0.5)
        else:
            state.optimizer = torch.optim.SGD(predictor.parameters(), lr=0.05)
            if dynamics == "descend":
                steps = descend(state, nn.MSELoss(), Loader(TensorPairs(x, y), 8))
            else:
                steps = descend_members(state, MSE(), Batch(x, y), budget=10, criterion=Criterion())
        for state in steps:
            if dynamics == "descend" and state.step == 10:
                break
        return predictor

    net = dense(activation="tanh")
    start = net(x).detach()
    all_at_once = trained(wrap(copy.deepcopy(net)))
    for k in range(3):
        single = wrap(net.select([k]))
        # Rounding only; a mix-up of members would differ by 0.1.
        torch.testing.assert_close(all_at_once(x)[[k]], trained(single)(x), rtol=0, atol=1e-9)
    assert (all_at_once.model(x) - start).abs().max() > 1e-3


def test_a_finished_member_does_not_change_the_output_of_the_others():
    """Members have their own patterns, as many as members: rows must not be mixed up."""
    net, x = dense(), inputs((3, 3, 3))
    scaled = Scaled(net, torch.tensor([1.0, 2.0, 3.0]))
    moved(net)
    active = ActiveMembers(TrainState(scaled), Batch(x, torch.ones(3, dtype=torch.float64)))
    expected = scaled(x)[[0, 2]]
    active.finish({1: Verdict.SAT})
    torch.testing.assert_close(active.model(active.inputs), expected, rtol=1e-12, atol=1e-13)


def test_a_force_field_of_a_scaled_energy_is_saved_and_loaded(tmp_path):
    graph = from_ase(molecule("H2O"), cutoff=4.0, dtype=torch.float64)
    torch.manual_seed(0)
    for wrap in (lambda net: Scaled(net, 5.0), Linearized):
        net = NequIP(species=["H", "O"], cutoff=4.0, lmax=1, layers=1, channels=2).double()
        field = ForceField(wrap(net)).eval()
        moved(net, 0.05)
        save(field, tmp_path / "field.safetensors")
        again = load(tmp_path / "field.safetensors", ForceField)
        torch.testing.assert_close(again(graph).energy, field(graph).energy, rtol=1e-12, atol=1e-12)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="alpha: expected one number or one for each of 3 members"):
        Scaled(dense(), [1.0, 2.0])
    with pytest.raises(ValueError, match="alpha: expected one number, got"):
        Scaled(dense(None), [1.0, 2.0])
    with pytest.raises(ValueError, match="start: expected parameters and buffers of the names and shapes"):
        Scaled(dense(), 1.0, dense(2))
    with pytest.raises(ValueError, match="expected a model with members, got a single Dense"):
        Scaled(dense(None), 1.0).select([0])
    net = NequIP(species=["H"], cutoff=4.0, lmax=0, layers=1, channels=2)
    graph = from_ase(molecule("H2"), cutoff=4.0)
    with pytest.raises(TypeError, match="wrap the energy model"):
        Scaled(ForceField(net), 1.0)(graph)
