"""MinusInitial: f(w) - f(w0) is zero before training, and only w is trained."""

import torch

from symnets.data import Batch
from symnets.models import Dense
from symnets.setups import MinusInitial
from symnets.training import TrainState, Verdict
from symnets.training._active_members import ActiveMembers


def test_the_output_is_zero_at_first_and_then_the_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    net = Dense(3, 4, 2, members=3, generator=generator, dtype=torch.float64)
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    before = net(x).detach()
    difference = MinusInitial(net)
    assert (difference(x) == 0).all()
    assert len(list(difference.parameters())) == len(list(net.parameters()))
    with torch.no_grad():
        net.weights[-1].mul_(3.0)  # f is linear in the last weights
    assert torch.allclose(difference(x), 2 * before, rtol=1e-12, atol=1e-12)
    assert torch.equal(difference.select([2, 0])(x), difference(x)[[2, 0]])


def test_initial_weights_follow_to_and_are_in_the_state_dict() -> None:
    generator = torch.Generator().manual_seed(0)
    net = Dense(3, 4, 2, bias=True, members=3, generator=generator, dtype=torch.float64)
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    difference = MinusInitial(net)
    with torch.no_grad():
        net.weights[0].add_(0.1)
    outputs = difference(x)
    assert difference.to(torch.float32)(x.float()).dtype == torch.float32
    difference.to(torch.float64)
    other = MinusInitial(Dense(3, 4, 2, bias=True, members=3, dtype=torch.float64))
    other.load_state_dict(difference.state_dict())
    # Through float32 and back: 6e-8 of each weight is lost.
    assert torch.allclose(other(x), outputs, rtol=0, atol=1e-5)
    assert not any(p.requires_grad for p in other.start.parameters())


def test_a_finished_member_does_not_change_the_output_of_the_others() -> None:
    """Members have their own patterns, as many as members: rows must not be mixed up."""
    generator = torch.Generator().manual_seed(0)
    net = Dense(3, 4, 1, members=3, generator=generator, dtype=torch.float64)
    x = torch.randn(3, 3, 3, generator=generator, dtype=torch.float64)
    difference = MinusInitial(net)
    with torch.no_grad():
        net.weights[-1].mul_(2.0)
    active = ActiveMembers(TrainState(difference), Batch(x, torch.ones(3, dtype=torch.float64)))
    expected = difference(x)[[0, 2]]
    active.finish({1: Verdict.SAT})
    assert torch.allclose(active.model(active.inputs), expected, rtol=1e-12, atol=1e-13)
