"""`TensorPairs` gives the same batches as a list of pairs; random transforms can be resumed."""

import subprocess
import sys

import pytest
import torch

from symnets.data import Loader, TensorPairs


@pytest.fixture
def pairs() -> TensorPairs:
    generator = torch.Generator().manual_seed(0)
    return TensorPairs(torch.randn(10, 2, 3, generator=generator), torch.arange(10))


def jitter(inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return inputs + torch.randn(inputs.shape, generator=generator)


def same(ours, theirs) -> bool:
    ours, theirs = list(ours), list(theirs)
    assert len(ours) == len(theirs)
    return all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets)
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 10, 11])
def test_batches_equal_those_of_the_list_of_pairs(pairs, shuffle, batch_size):
    ours = Loader(pairs, batch_size, shuffle=shuffle, seed=3)
    theirs = Loader(list(pairs), batch_size, shuffle=shuffle, seed=3)
    assert len(ours) == len(theirs)
    for number in range(3):
        assert same(ours.epoch(number), theirs.epoch(number))


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4])
def test_a_resumed_epoch_has_the_same_random_inputs(pairs, start):
    examples = TensorPairs(pairs.inputs, pairs.targets, jitter)
    whole = list(Loader(examples, 3, shuffle=True, seed=1).epoch(4))
    torch.manual_seed(99)
    rest = Loader(examples, 3, shuffle=True, seed=1).epoch(4, start)
    assert same(rest, whole[start:])


def test_batches_epochs_and_seeds_have_different_random_inputs():
    examples = TensorPairs(torch.zeros(8, 1), torch.zeros(8), jitter)
    batches = [
        batch.inputs.flatten()
        for seed in (0, 1)
        for number in range(3)
        for batch in Loader(examples, 2, seed=seed).epoch(number)
    ]
    assert len({tuple(batch.tolist()) for batch in batches}) == 2 * 3 * 4


def test_the_random_numbers_of_the_first_batch_differ_from_those_of_the_order():
    """SeedSequence([seed, epoch, 0]) would equal SeedSequence([seed, epoch])."""
    loader = Loader(TensorPairs(torch.zeros(50, 1), torch.zeros(50), jitter), 50, shuffle=True, seed=2)
    drawn = torch.randperm(50, generator=loader.generator(3, 0)).tolist()
    assert drawn != loader.order(3)


def test_global_random_state_is_unchanged(pairs):
    before = torch.get_rng_state()
    list(Loader(TensorPairs(pairs.inputs, pairs.targets, jitter), 3, shuffle=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_indexing_by_numbers_and_slices(pairs):
    x, y = pairs[-1]
    assert torch.equal(x, pairs.inputs[9])
    assert y == 9
    some = TensorPairs(pairs.inputs, pairs.targets, jitter)[2:5]
    assert len(some) == 3
    assert some.transform is jitter
    assert some.targets.tolist() == [2, 3, 4]
    assert [int(target) for _, target in pairs] == list(range(10))


def test_inconsistent_tensors_are_refused(pairs):
    with pytest.raises(ValueError, match=r"same number of rows.*got shapes \(10, 2, 3\) and \(9,\)"):
        TensorPairs(pairs.inputs, torch.arange(9))
    with pytest.raises(ValueError, match="same number of rows"):
        TensorPairs(torch.tensor(1.0), torch.tensor(1))
    with pytest.raises(ValueError, match="transform: expected 4 inputs back, got 3"):
        list(Loader(TensorPairs(pairs.inputs, pairs.targets, lambda x, _: x[:3]), 4))
    with pytest.raises(ValueError, match="examples: expected at least one"):
        Loader(pairs[:0], 4)


def test_batches_of_tensors_do_not_import_torch_geometric():
    script = (
        "import sys, torch; from symnets.data import Loader, TensorPairs;"
        "(batch,) = Loader(TensorPairs(torch.zeros(3, 2), torch.ones(3)), 3);"
        "assert batch.targets.sum() == 3; assert 'torch_geometric' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
