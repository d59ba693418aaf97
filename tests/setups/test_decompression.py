"""Decompression of nets: minima with fewer and fewer patterns, until the rest can be satisfied."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables import margins
from symnets.setups import DecompressedConfig, JammedState, decompress_net, minimise
from symnets.setups._decompression import trapped
from symnets.sweeps import _checkpoints as resume
from symnets.training import TrainState

TINY = DecompressedConfig(n_train=60, width=5, depth=2, dim=4, steps=600, steps_again=200, removed=0.05)


@pytest.fixture(scope="module")
def minima() -> list[JammedState]:
    minimised = minimise([TINY])
    return decompress_net(minimised.model, minimised.train, TINY)


@pytest.mark.slow
def test_patterns_and_loss_decrease(minima: list[JammedState]) -> None:
    left = [state.n_train for state in minima]
    assert len(left) > 2
    assert left == sorted(set(left), reverse=True)
    assert all(state.loss > TINY.enough for state in minima)
    assert minima[-1].loss < 0.1 * minima[0].loss


@pytest.mark.slow
def test_with_one_pattern_less_than_the_last_minimum_all_can_be_satisfied(minima: list[JammedState]) -> None:
    last = minima[-1]
    fewer = Batch(last.train.inputs[:, :-1], last.train.targets[:, :-1])
    assert decompress_net(last.net, fewer, TINY) == []


@pytest.mark.slow
def test_gaps_are_those_of_the_net_on_the_remaining_patterns(minima: list[JammedState]) -> None:
    first = minimise([TINY]).train
    for state in minima:
        measured = margins(state.net, state.train)
        torch.testing.assert_close(measured.gaps[0], state.gaps)
        assert float(measured.loss[0]) == pytest.approx(state.loss)
        known = (state.train.inputs[0][:, None] == first.inputs[0][None]).all(-1)
        assert bool((known.sum(1) == 1).all())  # each is one of the first patterns


@pytest.mark.slow
def test_no_unsatisfied_pattern_of_a_jammed_state_is_trapped(minima: list[JammedState]) -> None:
    for state in minima:
        unsatisfied = state.gaps > TINY.tolerance
        assert not bool((trapped(state.net, state.train)[0] & unsatisfied).any())


def test_a_pattern_is_trapped_if_the_net_is_constant_around_it() -> None:
    """Two units, on for x > 0 and for x > 1: f is constant only where both are off."""
    net = Dense(1, 2, 1, bias=True, members=1, dtype=torch.float64)
    with torch.no_grad():
        net.weights[0].copy_(torch.tensor([[[1.0], [1.0]]]))
        net.biases[0].copy_(torch.tensor([[0.0, -1.0 * net.scales[0]]]))
    x = torch.tensor([[[-1.0], [0.5], [2.0]]], dtype=torch.float64)
    assert trapped(net, Batch(x, torch.ones(1, 3))).tolist() == [[True, False, False]]


def test_a_satisfied_net_has_no_minima() -> None:
    config = replace(TINY, n_train=6, steps=3000)
    minimised = minimise([config])
    assert minimised.members.verdicts == ["SAT"]
    assert decompress_net(minimised.model, minimised.train, config) == []


@pytest.mark.slow
@pytest.mark.slow
def test_a_killed_and_resumed_decompression_has_the_same_minima(
    minima: list[JammedState], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed repeatedly after 25 checkpoints; every session resumes from the last checkpoint."""
    monkeypatch.setattr(resume, "PERIOD", 0.0)
    minimised = minimise([TINY])
    left = resume.PeriodicCheckpoint.write

    def write(kept: resume.PeriodicCheckpoint, state: TrainState) -> None:
        nonlocal writes
        left(kept, state)
        writes += 1
        if writes == 25:
            raise KeyboardInterrupt

    monkeypatch.setattr(resume.PeriodicCheckpoint, "write", write)
    sessions, resumed = 0, None
    while resumed is None:
        sessions, writes = sessions + 1, 0
        with suppress(KeyboardInterrupt), resume.resumable(tmp_path / "run"):
            resumed = decompress_net(minimised.model, minimised.train, TINY)
    assert 3 < sessions < 100
    assert [state.n_train for state in resumed] == [state.n_train for state in minima]
    for one, two in zip(minima, resumed, strict=True):
        assert torch.equal(one.gaps, two.gaps)


def test_invalid_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="removed: expected more than 0"):
        replace(TINY, removed=0.0)
    with pytest.raises(ValueError, match="enough"):
        replace(TINY, enough=0.0)
