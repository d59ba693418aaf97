import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from symnets.data import balanced_subset

PARITY = torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
"""Labels: six +1, five -1."""


@given(st.integers(1, 5), st.integers(0, 40), st.integers(0, 2**32))
def test_balanced_and_nested_at_every_size(n_classes, extra, seed):
    """Numbers of classes differ by at most one; a smaller subset is the beginning of a larger one."""
    shuffle = torch.randperm(8 * n_classes, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(n_classes).repeat(8)[shuffle]
    whole = balanced_subset(labels, len(labels), seed)
    assert sorted(whole.tolist()) == list(range(len(labels)))
    n = extra % (len(labels) + 1)
    part = balanced_subset(labels, n, seed)
    assert torch.equal(part, whole[:n])
    counts = labels[part].bincount(minlength=n_classes)
    assert counts.max() - counts.min() <= 1


def test_even_sizes_have_equally_many_of_each_label():
    for n in range(0, 11, 2):
        assert PARITY[balanced_subset(PARITY, n, seed=3)].sum() == 0
    for n in range(1, 11, 2):
        assert PARITY[balanced_subset(PARITY, n, seed=3)].sum() == -1


def test_the_subset_depends_only_on_the_seed():
    labels = torch.arange(2).repeat(50)
    first, again, other = (balanced_subset(labels, 20, seed) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_all_examples_are_equally_likely():
    """With two classes of five, a subset of four contains each example with probability 2/5."""
    labels = torch.arange(2).repeat(5)
    seeds = 600
    counts = (
        torch.stack([balanced_subset(labels, 4, seed) for seed in range(seeds)])
        .flatten()
        .bincount(minlength=10)
    )
    # Binomial standard deviation sqrt(0.4 * 0.6 / 600) = 0.02; five of them.
    torch.testing.assert_close(counts / seeds, torch.full((10,), 0.4), atol=0.1, rtol=0)


def test_more_examples_than_the_data_set_has_are_refused():
    with pytest.raises(ValueError, match="expected 0 to 11, the number of examples, got 12"):
        balanced_subset(PARITY, 12, seed=0)


def test_more_examples_than_a_class_has_are_refused():
    with pytest.raises(ValueError, match="need 4 of class 2, which has 3; expected at most 11"):
        balanced_subset(torch.tensor([0] * 5 + [1] * 5 + [2] * 3), 12, seed=0)


@pytest.mark.parametrize("labels", [[0, 0, 0, 1], [0, 1, 1, 1], [0, 0, 1, 1, 1, 2, 2], [0, 1], [4, 4, 4]])
def test_the_error_gives_the_largest_possible_size(labels):
    labels = torch.tensor(labels)
    works = []
    for n in range(len(labels) + 1):
        try:
            works.append(len(balanced_subset(labels, n, seed=0)))
        except ValueError as error:
            assert f"expected at most {works[-1]}" in str(error)  # noqa: PT017
    assert works == list(range(len(works)))


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed"):
        balanced_subset(PARITY, 2, seed=-1)
