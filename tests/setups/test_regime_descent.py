"""Nets of any regime trained by Adam."""

import pytest
import torch

from symnets.setups import RegimeConfig, TrainedRegime, descend_regime, regime_net, regime_patterns

CONFIGS = [RegimeConfig(n_train=10, n_test=50, dim=2, width=20, budget=400, seed=seed) for seed in range(2)]


@pytest.fixture(scope="module")
def trained() -> TrainedRegime:
    return descend_regime(CONFIGS)


def test_training_ends_when_all_patterns_are_satisfied(trained: TrainedRegime) -> None:
    gaps = 1 - trained.train.targets * trained.predictor(trained.train.inputs).detach()
    assert float(gaps.max()) <= CONFIGS[0].tolerance
    rows = trained.rows(CONFIGS)
    assert [row["verdict"] for row in rows] == ["SAT", "SAT"]
    # Without the prefactor of the loss, which is 20.
    assert all(0 <= float(row["train_loss"]) <= CONFIGS[0].tolerance ** 2 / 2 for row in rows)


def test_nets_and_patterns_are_those_of_the_flow(trained: TrainedRegime) -> None:
    for s, config in enumerate(CONFIGS):
        task, net = regime_patterns(config), regime_net(config, (2,))
        torch.testing.assert_close(trained.train.inputs[s], task.x_train)
        torch.testing.assert_close(trained.test.targets[s], task.y_test)
        for found, expected in zip(trained.start.member(s).parameters(), net.parameters(), strict=True):
            assert torch.equal(found, expected)


def test_the_predictor_is_the_scaled_difference_of_nets(trained: TrainedRegime) -> None:
    x = trained.test.inputs
    difference = trained.model(x) - trained.start(x)
    torch.testing.assert_close(trained.predictor(x), CONFIGS[0].alpha_tilde * difference)
