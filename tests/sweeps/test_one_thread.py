"""One thread inside `one_thread`, and afterwards as many as before, in whatever order threads leave."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from symnets.sweeps._worker import one_thread


@pytest.fixture(autouse=True)
def two_threads():
    """Two threads for torch, whatever the environment variables are."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def numbers_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as new:
        return new.submit(torch.get_num_threads).result()


@pytest.mark.parametrize("first", [0, 1])
def test_the_last_of_two_threads_restores_the_limits(first):
    """Two workers enter one after the other; either may leave first."""
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        workers = [(one, one_thread()), (two, one_thread())]
        for pool, context in workers:
            pool.submit(context.__enter__).result()
            assert pool.submit(torch.get_num_threads).result() == 1
        (early, its), (late, last) = workers[first], workers[1 - first]
        early.submit(its.__exit__, None, None, None).result()
        assert late.submit(torch.get_num_threads).result() == 1
        assert numbers_of_a_new_thread() == 1, "the process is still limited"
        assert early.submit(torch.get_num_threads).result() == 2, "the thread that has left is not"
        late.submit(last.__exit__, None, None, None).result()
        assert late.submit(torch.get_num_threads).result() == 2
    assert numbers_of_a_new_thread() == 2


def fail_inside() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        raise ArithmeticError


def test_an_error_restores_the_limits():
    with pytest.raises(ArithmeticError):
        fail_inside()
    assert torch.get_num_threads() == 2
