"""f(w) - f(w0) is zero before training, and only w is trained."""

import torch

from symnets.experiments.from_start import FromStart
from symnets.models.dense import Dense


def test_a_net_has_learned_nothing_at_first_and_then_the_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    net = Dense(3, 4, 2, members=3, generator=generator, dtype=torch.float64)
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    before = net(x).detach()
    learned = FromStart(net)
    assert (learned(x) == 0).all()
    assert len(list(learned.parameters())) == len(list(net.parameters()))
    with torch.no_grad():
        net.weights[-1].mul_(3.0)  # f is linear in the last weights
    assert torch.allclose(learned(x), 2 * before, rtol=1e-12, atol=1e-12)
    assert torch.equal(learned.select([2, 0])(x), learned(x)[[2, 0]])
