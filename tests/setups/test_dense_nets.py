"""Minimisation of dense nets, with three units per layer."""

from dataclasses import replace

import pytest
import torch

from symnets.experiments import jamming_sharpness
from symnets.observables import margins
from symnets.setups import NetConfig, batch_key, initial_net, minimise, patterns
from symnets.sweeps import Result
from symnets.sweeps._batches import run_hash, scalars
from symnets.sweeps._store import finished_run

TINY = {"width": 3, "depth": 2, "dim": 3, "steps": 200, "dtype": "float64"}


@pytest.mark.slow
def test_few_points_are_satisfied_and_many_are_not():
    """Almost any net fits two points of opposite labels; none with 24 weights fits 200."""
    for n_train, verdict in ((2, "SAT"), (200, "UNSAT")):
        configs = [NetConfig(n_train=n_train, seed=s, **(TINY | {"steps": 2000})) for s in range(2)]
        for row in minimise(configs).rows(configs):
            assert row["verdict"] == verdict
            assert (row["n_unsatisfied"] == 0) == (verdict == "SAT")


def test_members_minimised_together_are_those_minimised_alone():
    configs = [NetConfig(n_train=20, seed=s, **TINY) for s in range(3)]
    all_at_once = minimise(configs)
    for k, config in enumerate(configs):
        alone = minimise([config])
        # Rounding grows along 200 steps of Adam; a mix-up of members would differ by 1.
        torch.testing.assert_close(
            all_at_once.model.member(k)(all_at_once.train.inputs[k]),
            alone.model.member(0)(alone.train.inputs[0]),
            rtol=0,
            atol=1e-8,
        )


def test_rows_describe_the_final_weights():
    configs = [NetConfig(n_train=30, seed=s, **TINY) for s in range(2)]
    minimised = minimise(configs)
    rows = minimised.rows(configs)
    fresh = margins(minimised.model, minimised.train, tolerance=configs[0].tolerance)
    assert [row["n_unsatisfied"] for row in rows] == fresh.n_unsatisfied.tolist()
    assert rows[0]["n_weights"] == 3 * 3 + 3 * 3 + 3
    assert rows[0]["ratio"] == pytest.approx(30 / 21)
    for row, loss in zip(rows, fresh.loss.tolist(), strict=True):
        assert row["final_loss"] == pytest.approx(loss, rel=1e-12)


def test_patterns_and_weights_depend_on_the_seed():
    config = NetConfig(n_train=10, **TINY)
    assert torch.equal(patterns(config).x_train, patterns(config).x_train)
    other = NetConfig(n_train=10, seed=1, **TINY)
    assert not torch.equal(patterns(config).x_train, patterns(other).x_train)
    assert not torch.equal(initial_net(config).weights[0], initial_net(other).weights[0])
    assert batch_key(config) == batch_key(other)
    assert batch_key(config) != batch_key(NetConfig(n_train=12, **TINY))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 0}, "width: expected at least 1, got 0"),
        ({"n_train": 1}, "n_train: expected at least 2, got 1"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"rate": 0.0}, "rate: expected more than 0"),
        ({"steps": 0}, "steps: expected at least 1"),
    ],
)
def test_invalid_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        NetConfig(**({"n_train": 10} | TINY | values))


def test_runs_have_the_same_hash_on_every_device():
    """The hash is that of runs stored before configurations had a device."""
    config = jamming_sharpness.PRESETS["quick"][0]
    for device in ("cpu", "cuda:1"):
        values = scalars(replace(config, device=device))
        assert run_hash("symnets.experiments.jamming_sharpness", values) == "c429e31bbcb9714f"


def test_rows_name_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU number {device.index}")
    for device, gpu in (("cpu", None), ("cuda:1", "GPU number 1")):
        config = scalars(NetConfig(n_train=10, device=device, **TINY))
        assert finished_run("toy", config, Result({"verdict": "SAT"}), 1.0).versions.get("gpu") == gpu


def test_an_unavailable_device_is_refused():
    with pytest.raises(ValueError, match="device: expected one that torch"):
        minimise([NetConfig(n_train=10, device="no-such-device", **TINY)])


def test_more_patterns_than_the_data_set_has_are_refused():
    with pytest.raises(ValueError, match="n_train"):
        minimise([NetConfig(n_train=100_000, data="digits", **(TINY | {"dim": 3}))])


def test_a_minimisation_with_too_large_a_learning_rate_is_reported_as_diverged():
    config = NetConfig(n_train=20, **(TINY | {"rate": 1e200, "activation": "linear"}))
    (row,) = minimise([config]).rows([config])
    assert row["verdict"] == "DIVERGED"
