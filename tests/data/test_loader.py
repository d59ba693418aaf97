"""The order of examples is a function of seed and epoch only."""

import pytest
import torch
from ase.build import molecule

from symnets.data import Batch, Loader, build_graphs, collate


@pytest.fixture
def pairs() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.full((2,), float(n)), torch.tensor(n)) for n in range(10)]


def seen(batches) -> list[int]:
    return torch.cat([batch.targets for batch in batches]).tolist()


def test_without_shuffle_the_order_is_kept(pairs):
    loader = Loader(pairs, 4)
    assert len(loader) == 3
    assert [batch.inputs.shape for batch in loader] == [(4, 2), (4, 2), (2, 2)]
    assert seen(loader) == seen(loader.epoch(7)) == list(range(10))


def test_each_epoch_has_another_permutation(pairs):
    loader = Loader(pairs, 3, shuffle=True, seed=5)
    orders = [seen(loader.epoch(number)) for number in range(5)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 5


def test_the_order_depends_only_on_seed_and_epoch(pairs):
    fresh = seen(Loader(pairs, 3, shuffle=True, seed=5).epoch(2))
    used = Loader(pairs, 4, shuffle=True, seed=5)
    list(used.epoch(0))
    torch.manual_seed(123)
    assert seen(used.epoch(2)) == fresh
    assert seen(Loader(pairs, 3, shuffle=True, seed=6).epoch(2)) != fresh


def test_global_random_state_is_unchanged(pairs):
    before = torch.get_rng_state()
    list(Loader(pairs, 3, shuffle=True).epoch(1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4])
def test_an_epoch_can_start_at_any_batch(pairs, start):
    loader = Loader(pairs, 3, shuffle=True, seed=1)
    whole = list(loader.epoch(4))
    rest = list(loader.epoch(4, start))
    assert [seen([batch]) for batch in rest] == [seen([batch]) for batch in whole[start:]]


def test_graphs_are_joined_to_one_graph():
    names = ("H2O", "CH4", "H")
    graphs = build_graphs([molecule(name) if len(name) > 1 else molecule("H") for name in names], 3.0)
    (batch,) = Loader(graphs, 3)
    graph = batch.inputs
    assert graph.n_graphs == 3
    assert graph.n_atoms.tolist() == [3, 5, 1]
    assert graph.owner.tolist() == [0] * 3 + [1] * 5 + [2]
    assert graph.edge_index.shape == (2, 6 + 20)
    torch.testing.assert_close(graph.edge_vectors(), torch.cat([g.edge_vectors() for g in graphs]))
    assert batch.targets.owner.tolist() == graph.owner.tolist()


def test_inputs_and_targets_of_a_batch_move_together():
    (batch,) = Loader(build_graphs([molecule("H2O")], 3.0), 1)
    moved = batch.to("meta")
    assert isinstance(moved, Batch)
    assert moved.inputs.pos.device.type == moved.targets.energy.device.type == "meta"
    assert moved.targets.forces is None


def test_arguments_out_of_range(pairs):
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        Loader(pairs, 0)
    with pytest.raises(ValueError, match="examples: expected at least one"):
        Loader([], 1)
    with pytest.raises(ValueError, match="examples: expected at least one"):
        collate([])
    with pytest.raises(ValueError, match="seed"):
        Loader(pairs, 1, seed=-1)
