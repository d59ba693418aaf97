"""Muon against singular value decompositions, and against torch's Adam for other weights."""

import copy

import pytest
import torch
from torch import nn

from symnets.training import Muon
from symnets.training._muon import orthogonal_factor


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (1, 7)])
def test_orthogonal_factor_has_the_singular_vectors_and_values_near_one(shape):
    matrix = random(1, *shape)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    rotated = u.mT @ orthogonal_factor(matrix) @ vh.mT
    values = rotated.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(rotated, torch.diag_embed(values), atol=1e-12, rtol=0)
    assert s.max() / s.min() < 1e3
    assert bool(((values > 0.65) & (values < 1.25)).all())


def test_entries_change_by_about_the_learning_rate_for_any_gradient():
    weight = nn.Parameter(random(3, 20, 30))
    start, optimizer = weight.detach().clone(), Muon([weight], [], lr=0.01)
    weight.grad = 1e-6 * random(3, 20, 30)
    optimizer.step()
    rms = (weight - start).square().mean((1, 2)).sqrt()
    assert bool(((rms > 0.006) & (rms < 0.012)).all())


def test_gradients_whose_squares_underflow_are_used():
    small = orthogonal_factor(1e-30 * random(2, 4, 5).float())
    torch.testing.assert_close(small, orthogonal_factor(random(2, 4, 5).float()), atol=1e-3, rtol=0)


def test_matrices_of_absent_species_only_decay():
    weight = nn.Parameter(random(2, 4, 5).float())
    optimizer = Muon([weight], [], lr=0.01)
    weight.grad = random(2, 4, 5).float()
    optimizer.step()
    weight.grad[1] = 0.0
    held = weight.detach()[1].clone()
    for _ in range(2000):
        optimizer.step()
    assert torch.equal(weight.detach()[1], held)
    weight.grad[1] = 1e-3
    optimizer.step()
    assert bool(weight.isfinite().all())
    assert not torch.equal(weight.detach()[1], held)


def test_matrices_decay_by_rate_times_decay():
    weight = nn.Parameter(random(3, 4))
    start = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    Muon([weight], [], lr=0.1, weight_decay=0.3).step()
    torch.testing.assert_close(weight.detach(), 0.97 * start)


def test_matrices_in_one_call_equal_single_matrices():
    together, alone = [nn.Parameter(random(4, 5)) for _ in range(2)], nn.Parameter(random(4, 5))
    grads = [random(4, 5), random(2, 4, 5)[1]]
    both, one = Muon(together, []), Muon([alone], [])
    for _ in range(3):
        for weight, grad in zip(together, grads, strict=True):
            weight.grad = grad.clone()
        alone.grad = grads[1].clone()
        both.step()
        one.step()
    torch.testing.assert_close(together[1], alone)


def test_other_weights_follow_adam():
    ours, theirs = nn.Parameter(random(7)), nn.Parameter(random(7))
    muon = Muon([], [ours], lr=0.1, weight_decay=0.3)
    adam = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0)
    for step in range(5):
        ours.grad, theirs.grad = (random(7) * (step + 1) for _ in range(2))
        muon.step()
        adam.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_a_restored_optimiser_continues_with_the_same_bits():
    weights = [nn.Parameter(random(3, 4)), nn.Parameter(random(5))]
    optimizer = Muon(weights[:1], weights[1:])

    def move(weights, optimizer):
        for weight in weights:
            weight.grad = weight.detach() ** 3
        optimizer.step()

    move(weights, optimizer)
    others = copy.deepcopy(weights)
    restored = Muon(others[:1], others[1:])
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    move(weights, optimizer)
    move(others, restored)
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


def test_vectors_among_the_matrices_are_refused():
    with pytest.raises(ValueError, match=r"two axes or more, got shapes \[\(3,\)\]"):
        Muon([nn.Parameter(torch.zeros(3))], [])
