"""Regimes: gradient flow of scaled nets of few units on few patterns."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from symnets.setups import (
    RegimeConfig,
    batch_key,
    regime_net,
    regime_patterns,
    runs_by_task,
    train_regime,
    weight_change,
)
from symnets.training import Callback

TINY = RegimeConfig(n_train=4, n_test=10, dim=3, width=12, budget=600)


def trained(n_seeds=1, **values):
    configs = [replace(TINY, seed=s, **values) for s in range(n_seeds)]
    result = train_regime(configs)
    return result, result.rows(configs)


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e3])
def test_few_patterns_are_satisfied_in_all_regimes(scale):
    result, rows = trained(alpha_tilde=scale)
    gaps = 1 - result.train.targets * result.predictor(result.train.inputs)
    assert (gaps <= TINY.tolerance).all()
    for row in rows:
        assert row["verdict"] == "SAT"
        assert row["n_unsatisfied"] == 0
        assert row["fraction_satisfied"] == 1
        assert row["train_loss"] <= 0.5 * TINY.tolerance**2
        assert set(row) & set(vars(TINY)) == set()
        assert all(isinstance(value, str | int | float) for value in row.values())


def test_weights_move_far_in_the_feature_regime_and_hardly_in_the_lazy_one():
    changes = [min(row["weight_change"] for row in trained(alpha_tilde=a)[1]) for a in (1e-3, 1.0, 1e3)]
    assert changes[0] > 5
    assert changes[0] > changes[1] > changes[2]
    assert changes[2] < 1e-2


def test_the_initial_model_has_the_first_weights_and_trains_the_same_parameters():
    result, _ = trained()
    initial = result.initial_model()
    for new, first, last in zip(
        initial.parameters(), result.start.parameters(), result.model.parameters(), strict=True
    ):
        assert torch.equal(new, first)
        assert new.requires_grad == last.requires_grad


def test_runs_of_a_task_are_those_of_its_patterns_in_the_order_of_seeds():
    rows = [("stripe", 8, 1), ("mnist", 8, 0), ("stripe", 8, 0), ("stripe", 4, 0)]
    tasks = runs_by_task(pd.DataFrame(rows, columns=["data", "n_train", "seed"], index=list("abcd")))
    assert {name: list(runs.index) for name, runs in tasks.items()} == {
        "stripe, P = 8": ["c", "a"],
        "MNIST, convolutional, P = 8": ["b"],
        "stripe, P = 4": ["d"],
    }


def test_time_is_comparable_in_the_lazy_regime():
    """The loss has the prefactor h/α̃²: lazy predictors of one net agree at equal times, whatever α̃."""
    outputs = [trained(alpha_tilde=a, activation="tanh", max_time=3.0)[0].predictor for a in (1e3, 1e5)]
    task = regime_patterns(TINY)
    here, there = (predictor(task.x_train).detach() for predictor in outputs)
    torch.testing.assert_close(here, there, rtol=0, atol=2 * TINY.output_tolerance)
    assert here.abs().max() > 0.3


def test_members_trained_together_are_those_trained_alone():
    result, _ = trained(2)
    for k in range(2):
        alone = train_regime([replace(TINY, seed=k)])
        # The flow is stable, and stages are those of the stiffest member: up to the tolerance of outputs.
        torch.testing.assert_close(
            result.predictor(result.test.inputs)[k],
            alone.predictor(alone.test.inputs)[0],
            rtol=0,
            atol=5 * TINY.output_tolerance,
        )
        assert torch.equal(result.start.member(k).weights[0], alone.start.member(0).weights[0])


def test_the_output_has_no_trained_bias():
    net = regime_net(TINY, (3,))
    assert net.parametrization == "mean_field"
    assert not net.biases[-1].requires_grad
    assert float(net.biases[-1].detach().abs()) == 0
    assert net.biases[0].std() > 0.3
    assert len(regime_net(replace(TINY, bias=False), (3,)).biases) == 0
    result, _ = trained()
    assert float(result.model.biases[-1].detach().abs().max()) == 0
    assert (weight_change(result.start, result.start) == 0).all()


def test_mse_ends_when_outputs_are_the_labels():
    result, rows = trained(loss="mse", tolerance=0.05)
    assert (result.predictor(result.train.inputs) - result.train.targets).abs().max() <= 0.05
    assert rows[0]["verdict"] == "SAT"


def test_callbacks_see_the_predictor_along_the_flow():
    class Satisfied(Callback):
        def __init__(self):
            self.path = []

        def after_step(self, state):
            inside = 1 - state.members.n_unsatisfied[0] / TINY.n_train
            self.path.append((float(state.members.time[0]), float(inside), state.model.members))

    seen = Satisfied()
    configs = [replace(TINY, stride=2)]
    train_regime(configs, [seen])
    times, fractions, members = zip(*seen.path, strict=True)
    assert list(times) == sorted(times)
    assert fractions[-1] == 1
    assert set(members) == {1}


def test_patterns_depend_on_data_seed_alone():
    a, b = (regime_patterns(replace(TINY, seed=s, data_seed=3)) for s in range(2))
    assert torch.equal(a.x_train, b.x_train)
    assert not torch.equal(a.x_train, regime_patterns(TINY).x_train)
    assert batch_key(TINY) == batch_key(replace(TINY, seed=5))


def test_images_are_small_centred_and_normalised():
    config = RegimeConfig(n_train=40, n_test=20, data="digits", pixels=4, net="convolutional", width=3)
    task = regime_patterns(config)
    assert task.x_train.shape == (40, 16)
    norms = task.x_train.square().sum(1)
    torch.testing.assert_close(norms, torch.full((40,), 16.0, dtype=norms.dtype), rtol=1e-5, atol=0)
    assert int(task.y_train.sum()) == 0
    rows = train_regime([replace(config, n_train=4, budget=200)]).rows([config])
    assert rows[0]["verdict"] == "SAT"
    assert rows[0]["n_weights"] == 3 * 9 + 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha_tilde": 0.0}, "alpha_tilde: expected more than 0"),
        ({"net": "convolutional"}, "pixels: expected the number of rows of the images"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"tolerance": 2.0}, "tolerance: expected"),
    ],
)
def test_invalid_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **values)
