import numpy as np
import pytest

from symnets.data import split


def test_sets_are_disjoint_and_have_the_requested_sizes():
    train, validation = split(500, (450, 30), seed=0)
    assert (len(train), len(validation)) == (450, 30)
    assert len(set(train) | set(validation)) == 480
    assert 0 <= min(train) < max(train) < 500


def test_sizes_may_be_fractions():
    assert [len(part) for part in split(500, (0.9, 0.1), seed=0)] == [450, 50]
    assert [len(part) for part in split(10, (1 / 3, 1 / 3, 1 / 3), seed=0)] == [3, 4, 3]


def test_the_split_depends_only_on_the_seed():
    same, again, other = (split(100, (50,), seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert (same != other).any()


@pytest.mark.parametrize("sizes", [(8, 3), (-1, 2), (0.8, 0.3), (-0.5, 0.5), (0.5, 3)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes"):
        split(10, sizes, seed=0)
