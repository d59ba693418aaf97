"""Nets on hierarchies: geometry, training, and where curves fall."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Generator

from symnets.data import SparseHierarchy
from symnets.estimates import SizeCurves
from symnets.setups import (
    HierarchicalNet,
    HierarchyConfig,
    estimate_jointly,
    hierarchy_curves,
    sample_complexity,
    size_below_level,
    train_on_hierarchy,
)

SMALL = HierarchyConfig(n_train=8, n_synonyms=2, width=8, n_test=8, steps=60, rate=0.2)


def test_hidden_layers_see_one_tuple_each() -> None:
    """A change within the second tuple leaves the first patch of the first layer as it was."""
    hierarchy = SparseHierarchy(3, 3, 2, depth=2, n_empty=1)
    net = HierarchicalNet(hierarchy, 5, Generator().manual_seed(0))
    x = hierarchy.inputs(hierarchy.sample(4, Generator().manual_seed(1)))
    changed = x.clone()
    changed[:, :, 4:8] = 1 - changed[:, :, 4:8]
    first, other = (net.hidden[0](net.scale * each.transpose(1, 2)) for each in (x, changed))
    assert first.shape == (4, 4, 5)
    assert torch.equal(first[:, [0, 2, 3]], other[:, [0, 2, 3]])
    assert not torch.equal(first[:, 1], other[:, 1])
    assert net.hidden(x.transpose(1, 2)).shape == (4, 1, 5)
    assert net(x).shape == (4, 3)


def test_outputs_are_the_mean_over_channels_of_the_weighted_activations() -> None:
    hierarchy = HierarchyConfig().hierarchy
    net = HierarchicalNet(hierarchy, 16, Generator().manual_seed(0))
    x = hierarchy.inputs(hierarchy.sample(3, Generator().manual_seed(1)))
    pairs = 2 * x.transpose(1, 2).reshape(3, 2, 8)  # √v = 2
    a = torch.relu(pairs @ net.hidden[0].weight.T / 8**0.5).reshape(3, 32)
    b = torch.relu(a @ net.hidden[1].weight.T / 32**0.5)
    torch.testing.assert_close(net(x), b @ net.readout.T / 16)


def test_a_net_fits_its_inputs_and_training_is_reproducible() -> None:
    config = replace(SMALL, loss_below=0.3, steps=200, rate=0.5)
    trained, again = (train_on_hierarchy(config) for _ in range(2))
    assert trained.row["verdict"] == "FITTED"
    assert trained.row == again.row
    assert trained.row["n_tested"] == 8
    assert all(
        torch.equal(a, b) for a, b in zip(trained.net.parameters(), again.net.parameters(), strict=True)
    )
    other = train_on_hierarchy(replace(config, seed=1))
    assert other.row != trained.row


def test_rows_have_a_sensitivity_for_each_layer_and_level() -> None:
    trained = train_on_hierarchy(replace(SMALL, steps=5))
    assert set(trained.sensitivities(SMALL)) == {f"S_{k}_{level}" for k in (1, 2, "out") for level in (1, 2)}
    config = replace(SMALL, n_empty=1, steps=5)
    row = train_on_hierarchy(config).sensitivities(config)
    assert set(row) == {f"{c}_{k}_{level}" for c in "SD" for k in (1, 2, "out") for level in (1, 2)}
    assert all(value > 0 for value in row.values())


def test_seeds_have_rules_of_their_own() -> None:
    one, other = (replace(SMALL, n_synonyms=4, seed=seed).hierarchy for seed in (0, 1))
    assert not torch.equal(one.rules[0], other.rules[0])


def test_configurations_leave_inputs_to_test_on() -> None:
    with pytest.raises(ValueError, match=r"n_train: expected at most 14, .* are left for the test, got 15"):
        HierarchyConfig(n_train=15, n_synonyms=2)
    with pytest.raises(ValueError, match="n_synonyms"):
        HierarchyConfig(n_synonyms=1)


def curves_of(*values: float, ratio: float = 2.0, scatter: float = 0.0) -> SizeCurves:
    """Three seeds with the mean `values` at the sizes 1, ratio, ratio², ..."""
    seeds = np.array([[1 - scatter], [1.0], [1 + scatter]]) * np.array(values)
    return SizeCurves(ratio ** np.arange(len(values)), {"relative_error": seeds})


def test_curves_fall_below_a_level_where_they_are_interpolated() -> None:
    between = curves_of(1.0, 0.6, 0.4, ratio=4)
    assert size_below_level(between, "relative_error") == pytest.approx(8)  # geometric mean of 4 and 16
    twice = curves_of(1.0, 0.1, 0.9, 0.1)
    assert size_below_level(twice, "relative_error") == pytest.approx(4 * 2**0.5)  # the last time
    assert size_below_level(twice, "relative_error", 0.7) == pytest.approx(4 * 2**0.25)
    assert np.isnan(size_below_level(curves_of(1.0, 0.8), "relative_error"))
    assert np.isnan(size_below_level(curves_of(0.1, 0.05), "relative_error"))


def test_sample_complexity_is_the_power_law_of_the_sizes_at_which_tasks_are_learned() -> None:
    """P* is 2, 4 and 8 for tasks 1, 2 and 3, whose unit is the root of P*."""
    known = {k: curves_of(*[1.0] * k, 0.101, 0.0, scatter=0.1) for k in (1, 2, 3)}
    fitted = sample_complexity(known, lambda k: 2 ** (k / 2))
    assert fitted is not None
    assert fitted.exponent.value == pytest.approx(2, abs=0.01)
    assert fitted(2**0.5) == pytest.approx(2, rel=0.05)
    unlearned = known | {3: curves_of(1.0, 0.9)}
    assert sample_complexity(unlearned, float) is None


def test_curves_are_of_the_seeds_that_have_all_sizes() -> None:
    lines = [{"n_train": n, "seed": seed, "f": n * (seed + 1.0)} for n in (1, 2) for seed in range(3)]
    curves = hierarchy_curves(pd.DataFrame(lines[:-1]), "f")
    assert curves.n_left_out == 1
    assert curves.values["f"].tolist() == [[1, 2], [2, 4]]
    assert curves.sizes.tolist() == [1, 2]


def test_joint_estimates_have_the_error_of_the_mean() -> None:
    """The standard deviation of a resampled mean is s √(1 - 1/n) / √n; 300 resamples give it within 15 %."""
    values = np.random.default_rng(0).standard_normal((25, 1))
    lines = [{"n_train": 1, "seed": k, "f": float(value)} for k, value in enumerate(values[:, 0])]
    curves = hierarchy_curves(pd.DataFrame(lines), "f")
    found = estimate_jointly({0: curves}, lambda c: float(c[0].mean("f")[0]))
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std() / 5, rel=0.15)
    single = hierarchy_curves(pd.DataFrame(lines[:1]), "f")
    assert estimate_jointly({0: single}, lambda c: 1.0).error is None
