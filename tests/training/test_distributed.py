"""Several processes take the steps of one. Threads stand in for processes, and sums over them are by hand."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn

from symnets.data import Loader
from symnets.training import (
    Callback,
    Processes,
    Trainer,
    TrainState,
    descend,
    is_first_process,
    joined_processes,
    max_steps,
)


class Sums:
    """Sums of tensors over threads, each of which waits for the others."""

    def __init__(self, size: int) -> None:
        self.given, self.barrier = [torch.empty(0)] * size, threading.Barrier(size, timeout=60)


@dataclass(frozen=True)
class Threads(Processes):
    sums: Sums = field(default_factory=lambda: Sums(1))

    def all_reduce(self, values):
        self.sums.given[self.rank] = values.clone()
        self.sums.barrier.wait()
        total = sum(self.sums.given[1:], self.sums.given[0])
        self.sums.barrier.wait()
        values.copy_(total)


def in_threads(size, work):
    """Results of `work(processes)` in each of several threads, by rank."""
    sums = Sums(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: work(Threads(rank, size, sums)), range(size)))


class Net(nn.Module):
    """A net with one weight that the output does not depend on, and that must not decay."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()
        self.unused = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, x):
        return self.layers(x)


def trained(processes, n=10, batch_size=4, steps=25):
    """Steps of AdamW on 10 points: batches of 4, 4 and 2, so that one of three processes gets no point."""
    x = torch.linspace(-1, 1, n, dtype=torch.float64)[:, None] ** torch.arange(1, 3)
    pairs = list(zip(x, torch.sin(3 * x[:, :1]), strict=True))
    part = (processes.rank, processes.size)
    loader = Loader(pairs, batch_size, shuffle=True, seed=3, part=part)
    model = Net()
    with torch.no_grad():
        for p in model.layers.parameters():
            p.copy_(torch.linspace(-1, 1, p.numel(), dtype=torch.float64).view_as(p))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.03, weight_decay=0.1)
    state = TrainState(model, optimizer)
    losses = []

    class Losses(Callback):
        def after_step(self, state):
            losses.append(state.loss)

    dynamics = descend(state, lambda y, t: ((y - t) ** 2).sum(1), loader, clip_norm=0.5, processes=processes)
    history = Trainer(max_steps(steps), callbacks=[Losses()], processes=processes).fit(dynamics)
    return state, losses, history


@pytest.mark.parametrize("size", [2, 3])
def test_processes_take_the_steps_of_one(size):
    alone, losses, _ = trained(Processes())
    for state, own_losses, history in in_threads(size, trained):
        # Sums of a few terms in another order.
        torch.testing.assert_close(own_losses, losses, rtol=1e-12, atol=0)
        for ours, theirs in zip(state.model.parameters(), alone.model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        assert history.reason == "25 steps done"
        assert history.rows[-1]["seconds"] > 0
    assert state.model.unused.tolist() == [1.0, 1.0, 1.0]


def test_all_have_the_clock_of_the_first():
    ends = in_threads(2, trained)
    assert ends[0][0].seconds == ends[1][0].seconds


def test_parts_of_a_batch_join_to_the_batch():
    examples = [(torch.tensor([float(n)]), torch.tensor(n)) for n in range(11)]
    whole = Loader(examples, 4, shuffle=True, seed=1)
    parts = [Loader(examples, 4, shuffle=True, seed=1, part=(r, 3)) for r in range(3)]
    for index, batches in enumerate(zip(whole.epoch(2), *(part.epoch(2) for part in parts), strict=True)):
        shares = [part.share(index) for part in parts]
        assert sum(shares) == pytest.approx(1)
        own = [b.targets.tolist() for b, share in zip(batches[1:], shares, strict=True) if share]
        assert list(chain(*own)) == batches[0].targets.tolist()
    assert Loader(examples[:5], 4, part=(0, 3)).share(1) == 0  # one example for three
    with pytest.raises(ValueError, match="batch_size: expected at least 3, one example for each process"):
        Loader(examples, 2, part=(0, 3))


@dataclass(frozen=True)
class Arrays:
    energy: np.ndarray
    forces: np.ndarray


def test_arrays_of_unequal_length_are_joined_in_the_order_of_the_processes():
    whole = Arrays(np.array([1.0, np.nan, 3.0]), np.arange(12.0).reshape(4, 3))

    def gathered(processes):
        rows = (slice(0, 1), slice(1, 3))[processes.rank], (slice(0, 3), slice(3, 4))[processes.rank]
        return processes.gathered(Arrays(whole.energy[rows[0]], whole.forces[rows[1]]))

    for joined in in_threads(2, gathered):
        np.testing.assert_array_equal(joined.energy, whole.energy)
        np.testing.assert_array_equal(joined.forces, whole.forces)


def test_a_sequence_is_shared_out_unless_it_is_too_short():
    parts = [Processes(rank, 3).part(list(range(10))) for rank in range(3)]
    assert list(chain(*parts)) == list(range(10))
    assert Processes(1, 3).part([5, 6]) == [5, 6]


def test_an_interrupt_of_one_interrupts_all():
    agreed = in_threads(3, lambda processes: processes.agree(1.0 + processes.rank, processes.rank == 2))
    assert agreed == [(1.0, True)] * 3
    assert Processes().agree(2.0, False) == (2.0, False)


def test_an_error_is_raised_by_the_first_that_has_it_and_ends_all():
    def work(processes):
        try:
            with processes.synchronized():
                if processes.rank > 0:
                    raise ValueError("no such file")
        except (ValueError, SystemExit) as error:
            return type(error)
        return None

    assert in_threads(3, work) == [SystemExit, ValueError, SystemExit]
    with pytest.raises(ValueError, match="no such file"), Processes().synchronized():
        raise ValueError("no such file")


def test_all_start_from_the_weights_of_the_first():
    def start(processes):
        model = nn.Linear(2, 1)
        nn.init.constant_(model.weight, 1.0 + processes.rank)
        processes.check_same_start(7, model)
        return model.weight.tolist()

    assert in_threads(2, start) == [[[1.0, 1.0]]] * 2

    def start_elsewhere(processes):
        try:
            processes.check_same_start(7 * processes.rank, nn.Linear(2, 1))
        except (ValueError, SystemExit) as error:
            return str(error)

    first, _ = in_threads(2, start_elsewhere)
    assert first.startswith("checkpoint: the processes read those of steps [0, 7]; expected one file")


def test_a_process_that_ended_is_an_error_with_advice():
    class Alone(Processes):
        def all_reduce(self, values):
            raise RuntimeError("Connection closed by peer\nTraceback")

    with pytest.raises(ConnectionError, match=r"process 1 of 2: another .*by peer\), so this .*--resume"):
        Alone(1, 2).sum(torch.zeros(1))


def test_a_program_that_torchrun_did_not_start_is_alone(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.setenv("RANK", "3")  # of something else
    assert is_first_process()
    with joined_processes() as processes:
        assert processes == Processes()
        assert processes.first


@pytest.mark.parametrize(
    ("device", "message"), [("cuda:1", "expected cuda for several"), ("cuda", "start 1 processes")]
)
def test_each_process_needs_a_gpu_of_its_own(monkeypatch, device, message):
    launched = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=message), joined_processes(device):
        pass
