"""Hessians in three phases: exact results for tiny nets, and findings on tables of known laws."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch

from symnets.data import Batch
from symnets.experiments import hessian_phases as phases
from symnets.experiments.hessian_phases import Config, root_law
from symnets.models import Dense
from symnets.observables import margins
from symnets.setups import loss_curvature, minimise
from symnets.sweeps import grid
from symnets.training import QuadraticHinge
from tests.naive.hessian import split_rows


def random_net(depth: int, *, bias: bool, width: int = 5, n: int = 40) -> tuple[Dense, Batch]:
    """A net before training, with non-zero biases, and patterns with random labels."""
    generator = torch.Generator().manual_seed(3)
    net = Dense(4, width, depth, bias=bias, generator=generator, dtype=torch.float64)
    for b in net.biases:
        torch.nn.init.normal_(b, std=0.3, generator=generator)
    x = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return net, Batch(x, torch.randn(n, generator=generator, dtype=torch.float64).sign())


def spectra_of(configs: tuple[Config, ...]) -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Table and arrays, as a sweep would store them."""
    results = [phases.run([config])[0] for config in configs]
    names = [f"run{k}" for k in range(len(configs))]
    lines = [asdict(config) | result.row for config, result in zip(configs, results, strict=True)]
    arrays = {name: result.arrays for name, result in zip(names, results, strict=True)}
    return pd.DataFrame(lines, index=names), arrays


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_spectra_are_those_of_the_naive_hessian(depth: int) -> None:
    """Patterns within the tolerance do not contribute but count in P: H is that of the mean over all."""
    net, batch = random_net(depth, bias=True)
    curvature = loss_curvature(net, batch, 1e-5)
    h0, hp = split_rows(net, QuadraticHinge(), batch.inputs, batch.targets)
    for eigenvalues, matrix in ((curvature.h0, h0), (curvature.hp, hp), (curvature.h, h0 + hp)):
        expected = torch.linalg.eigvalsh(matrix)
        torch.testing.assert_close(eigenvalues, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


@pytest.mark.parametrize("bias", [False, True])
def test_one_hidden_layer_has_as_many_negative_eigenvalues_as_units(bias: bool) -> None:
    """Hp couples an output weight only with its own unit, by a vector v: eigenvalues ± |v| for each unit."""
    net, batch = random_net(1, bias=bias)
    curvature = loss_curvature(net, batch, 1e-5)
    assert curvature.n_negative == net.width
    torch.testing.assert_close(curvature.hp, -curvature.hp.flip(0), rtol=0, atol=1e-14)


def test_one_hidden_layer_has_as_many_negative_eigenvalues_after_minimisation() -> None:
    config = Config(n_train=100, width=4, depth=1, dim=4, bias=False, steps=500)
    (result,) = phases.run([config])
    assert result.row["verdict"] == "UNSAT"
    assert (result.row["n_negative"], result.row["n_params"]) == (4, 20)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_rank_of_h0_is_limited_by_patterns_and_by_the_scales_of_units(depth: int) -> None:
    """At most N_Δ, and at most N - h L, for each unit has a direction along which f is constant."""
    for n in (10, 300):
        net, batch = random_net(depth, bias=False, n=n)
        n_unsatisfied = int(margins(net, batch, tolerance=1e-5).n_unsatisfied)
        curvature = loss_curvature(net, batch, 1e-5)
        assert 0 < curvature.rank <= min(n_unsatisfied, curvature.n_params - net.n_hidden_units)
        assert (
            curvature.n_flat >= curvature.n_params - curvature.rank
        )  # Weyl: Hp moves no eigenvalue by more than |Hp|


@pytest.mark.slow
def test_the_hessian_of_a_sat_net_includes_overlaps_within_the_tolerance() -> None:
    """No gap exceeds the tolerance. Hp is as small as the overlaps, but H0, with ℓ'' = 1, is not."""
    config = Config(n_train=40, width=8, depth=2, dim=4, steps=3000)
    (result,) = phases.run([config])
    row, minimised = result.row, minimise([config])
    net, x, y = minimised.model.member(0), minimised.train.inputs[0], minimised.train.targets[0]
    touching = int((margins(net, Batch(x, y)).gaps > 0).sum())
    assert (row["verdict"], row["n_unsatisfied"]) == ("SAT", 0)
    assert row["rank"] == touching > 0
    h0, hp = split_rows(net, QuadraticHinge(), x, y)
    reach, largest = (float(torch.linalg.eigvalsh(matrix).abs().max()) for matrix in (hp, h0 + hp))
    assert row["reach"] == pytest.approx(reach, rel=1e-6)
    assert row["largest"] == pytest.approx(largest, rel=1e-9)
    assert 0 < reach < 10 * config.tolerance < largest


def test_a_net_without_any_overlap_has_no_curvature() -> None:
    net, batch = random_net(2, bias=False)
    outputs = net(batch.inputs).detach()
    alive = outputs.abs() > 1e-3
    net.weights[-1].data *= 1e6  # all y f beyond the margin
    curvature = loss_curvature(net, Batch(batch.inputs[alive], outputs[alive].sign()), 0.0)
    assert (curvature.largest, curvature.n_negative, curvature.rank) == (0.0, 0, 0)
    assert curvature.n_flat == curvature.n_params == curvature.n_zero


def made_up(
    exponent: float, share: float, reach: float
) -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Decompressed nets of two layers whose Hp scales with a given power of L; one trapped, one satisfied,
    and one with too many patterns, whose |Hp| is 0.1 as well."""
    loss = np.geomspace(0.1, 1e-5, 12)
    table = pd.DataFrame({"n_unsatisfied": 60, "hinge_loss": 1e-5, "verdict": "UNSAT"}, index=range(6))
    table["depth"], table["width"], table["n_params"], table["n_zero"] = 2, 8, 100, 10
    table["n_negative"], table["rank"], table["n_flat"] = round(100 * share), 60, 40
    table["reach"], table["jammed_n_train"], table["ratio"] = 0.1, 90.0, 1.6
    trapped = table.iloc[:1].assign(reach=0.0, n_negative=0, rank=1)
    satisfied = table.iloc[:1].assign(
        verdict="SAT", n_unsatisfied=0, reach=reach, n_negative=0, jammed_n_train=np.nan
    )
    many = table.iloc[:1].assign(ratio=5.0, jammed_n_train=np.nan)
    table = pd.concat((table, trapped, satisfied, many), ignore_index=True)
    heights = np.geomspace(0.05, 0.2, len(table))
    arrays = {
        str(k): {"path_loss": loss, "path_scale": height * loss**exponent} for k, height in enumerate(heights)
    }
    return table, arrays


@pytest.mark.parametrize(
    ("exponent", "share", "reach", "agree"),
    [(0.5, 0.48, 1e-8, True), (0.7, 0.48, 1e-8, False), (0.5, 0.3, 1e-8, False), (0.5, 0.48, 1e-3, False)],
)
def test_findings_agree_only_with_the_published_laws(
    exponent: float, share: float, reach: float, agree: bool
) -> None:
    table, arrays = made_up(exponent, share, reach)
    law = root_law(table, arrays.__getitem__)
    assert law is not None
    assert law.exponent.value == pytest.approx(exponent)
    assert law.n_points == 6
    results = phases.findings(table, arrays.__getitem__)
    assert all(finding.agrees for finding in results) is agree
    assert results[0].measured.value == pytest.approx(reach / 0.1)  # Hp of the satisfied run


@pytest.mark.slow
def test_the_row_of_a_decompressed_net_is_that_of_its_last_minimum() -> None:
    config = Config(n_train=60, width=5, depth=2, dim=4, steps=600, steps_again=200, decompressed=True)
    (result,) = phases.run([config])
    row, arrays = result.row, result.arrays
    assert row["verdict"] == "UNSAT"
    assert row["hinge_loss"] == arrays["path_loss"][-1] < arrays["path_loss"][0]
    assert row["scale"] == arrays["path_scale"][-1]
    assert isinstance(row["jammed_n_train"], int)
    assert row["ratio"] == row["jammed_n_train"] / config.n_weights < 60 / config.n_weights
    assert row["rank"] == row["n_unsatisfied"]  # gradients of the patterns in contact are independent


@pytest.mark.slow
def test_tiny_runs_have_findings_and_a_figure() -> None:
    table, arrays = spectra_of(
        (
            *grid(Config, n_train=(4, 60, 90), width=5, depth=2, dim=3, steps=400, seed=range(2)),
            *grid(Config, n_train=80, width=4, depth=1, dim=3, bias=False, steps=200, seed=range(2)),
        )
    )
    exact = [
        f for f in phases.findings(table, arrays.__getitem__) if f.quantity.startswith("largest |N_- - h|")
    ]
    assert [(finding.measured.value, finding.agrees) for finding in exact] == [(0.0, True)]
    assert len(phases.figure(table, arrays.__getitem__).axes) == 5


def test_presets_contain_all_three_phases() -> None:
    for preset in phases.PRESETS.values():
        ratios = {config.n_train / config.n_weights for config in preset if config.depth == 2}
        assert min(ratios) <= 1.01
        assert max(ratios) >= 4.9
        assert len(set(preset)) == len(preset)
        assert all(config.bias or config.depth == 1 for config in preset)
