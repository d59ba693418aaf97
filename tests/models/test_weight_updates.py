"""Updates of the weights of a trained model, in full or of low rank."""

import pytest
import torch

from symnets.models import ForceField, WeightUpdates
from tests.models.small import batch, force_field


def updated(rank, name="NequIP"):
    energy_model = force_field(name).energy_model
    names = [name for name, weight in energy_model.named_parameters() if weight.requires_grad]
    return WeightUpdates(energy_model, names, rank=rank, seed=1), names


@pytest.mark.parametrize("rank", [None, 1])
def test_it_starts_as_the_model_and_is_folded_to_one_of_its_class(rank):
    graph = batch().inputs
    before = force_field("NequIP")(graph)
    model, _ = updated(rank)
    assert torch.equal(ForceField(model).eval()(graph).energy, before.energy)
    torch.manual_seed(0)
    free = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        for weight in free:
            weight.add_(0.1 * torch.randn_like(weight))
    moved, folded = ForceField(model).eval()(graph), ForceField(model.folded()).eval()(graph)
    assert type(model.folded()) is type(model.model)
    # The same products of the same matrices.
    torch.testing.assert_close(folded.forces, moved.forces, rtol=1e-12, atol=1e-12)
    assert (moved.energy - before.energy).abs().min() > 1e-3


def test_updates_alone_are_trained_and_have_the_rank():
    model, names = updated(1)
    free = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert all(name.startswith(("full.", "left.", "right.")) for name in free)
    with torch.no_grad():
        for weight in model.right.values():
            weight.fill_(1.0)
    ranks = {
        name: int(torch.linalg.matrix_rank(model.weights()[name] - weight).max())
        for name, weight in model.model.named_parameters()
        if name.replace(".", "/") in model.left
    }
    assert ranks
    assert set(ranks.values()) == {1}
    assert len(model.full) + len(model.left) == len(names)


def test_a_gradient_of_forces_reaches_the_updates():
    model, _ = updated(1)
    data = batch()
    loss = ForceField(model).train()(data.inputs).forces.square().sum()
    loss.backward()
    assert all(weight.grad.abs().max() > 0 for weight in model.right.values())
    assert all(weight.grad is None for weight in model.model.parameters())


def test_an_unknown_weight_is_named():
    with pytest.raises(ValueError, match=r"expected names of parameters of the model, got \['readuot'\]"):
        WeightUpdates(force_field("NequIP").energy_model, ["readuot"])
