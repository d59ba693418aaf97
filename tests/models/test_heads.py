"""Energy models with several heads on shared layers."""

import pytest
import torch
from torch import nn

from symnets.models import ForceField, Heads, energy_network, readout_parts
from tests.models.small import batch, force_field


@pytest.mark.parametrize("name", ["NequIP", "MACE", "WithZBL"])
def test_each_structure_has_the_energy_of_its_head(name):
    graph = batch().inputs
    plain = force_field(name).eval()
    before = plain(graph).energy
    two = Heads(plain.energy_model, 2)
    assert torch.equal(ForceField(two).eval()(graph).energy, before)
    body = energy_network(two)
    of_a_head = [name for name, _ in two.named_parameters() if "readout" in name or "atomic_energy" in name]
    assert all(".heads." in name for name in of_a_head)
    with torch.no_grad():
        body.atomic_energy.heads[1].shift += 1.0
        for part in readout_parts(body):
            for weight in getattr(body, part).parameters():
                weight.add_(0.1)
    ends = [ForceField(two.single(head)).eval()(graph).energy for head in (0, 1)]
    assert type(two.single(1)) is type(plain.energy_model)
    assert (ends[1] - ends[0]).abs().min() > 0.5
    graph.head = torch.tensor([1, 0])
    mixed = ForceField(two).eval()(graph).energy
    torch.testing.assert_close(mixed, torch.stack([ends[1][0], ends[0][1]]), rtol=1e-12, atol=1e-12)


def test_the_head_of_another_level_gets_no_gradient():
    data = batch()
    two = Heads(force_field("NequIP").energy_model, 2)
    data.inputs.head = torch.tensor([1, 1])
    ForceField(two).train()(data.inputs).energy.sum().backward()
    heads = energy_network(two).readout.heads
    assert all(weight.grad.abs().max() == 0 for weight in heads[0].parameters())
    assert all(weight.grad.abs().max() > 0 for weight in heads[1].parameters())


def test_a_model_without_readout_and_a_head_too_many_are_refused():
    two = Heads(force_field("NequIP").energy_model, 2)
    with pytest.raises(ValueError, match="head: expected 0 to 1, got 2"):
        two.single(2)

    class Own(nn.Module):
        species, cutoff = (1,), 3.0

    with pytest.raises(ValueError, match=r"expected a network derived from symnets.models.EnergyModel"):
        Heads(Own(), 2)
