"""Dense nets, their kernels, Hessians and dynamics on a GPU equal those of the CPU, in float64."""

import copy
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import aslinearoperator
from torch import nn

from symnets.data import Batch, pca
from symnets.experiments import double_descent, hessian_phases, jamming_sharpness
from symnets.models import Convolutional, Dense, Ensemble
from symnets.observables import curvature, margins, tangent_kernel
from symnets.sweeps import grid
from symnets.training import (
    Criterion,
    CrossEntropy,
    DenseOutput,
    QuadraticHinge,
    TrainState,
    descend_members,
    gradient_flow,
    levenberg_marquardt,
)

EXACT = {"rtol": 1e-10, "atol": 1e-12}  # sums of up to some hundred terms, in another order
MOVED = {"rtol": 1e-6, "atol": 1e-8}  # rounding grows along some hundred steps


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def patterns(n=10, d=4):
    return Batch(draw(n, d), torch.tensor([1.0, -1.0] * (n // 2), dtype=torch.float64))


def net(activation="tanh", members=3, width=6, **options):
    options = {"depth": 2, "bias": True, "generator": seeded(), "dtype": torch.float64} | options
    return Dense(4, width, activation=activation, members=members, **options)


def there(model, device):
    return copy.deepcopy(model).to(device)


def assert_same(found, expected, **tolerance):
    torch.testing.assert_close(found.cpu(), expected, **(tolerance or EXACT))


@contextmanager
def no_waiting(device):
    """Context in which torch raises an error when the host waits for the GPU."""
    if device.type != "cuda":
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.parametrize("own", [False, True], ids=["patterns of all", "patterns of each"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "swish", "gelu", "erf"])
def test_outputs_gradients_and_kernels(device, activation, own):
    model, x = net(activation), draw(3, 10, 4) if own else draw(10, 4)
    other, y = there(model, device), x.to(device)
    assert_same(other(y).detach(), model(x).detach())
    model(x).sin().sum().backward()
    other(y).sin().sum().backward()
    for p, q in zip(other.parameters(), model.parameters(), strict=True):
        assert_same(p.grad, q.grad)
    model.backpropagate(x, torch.cos)
    with no_waiting(device):
        other.backpropagate(y, torch.cos)
    for p, q in zip(other.parameters(), model.parameters(), strict=True):
        assert_same(p.grad, q.grad)
    assert_same(tangent_kernel(other, y), tangent_kernel(model, x))


def test_jacobians(device):
    model, x = net(members=None), draw(5, 4)

    def jacobian(model, x):
        parameters = dict(model.named_parameters())
        return torch.func.jacrev(lambda p: torch.func.functional_call(model, p, (x,)))(parameters)

    expected, found = jacobian(model, x), jacobian(there(model, device), x.to(device))
    for name, value in expected.items():
        assert_same(found[name].detach(), value.detach())


def test_convolutions_and_ensembles(device):
    x = draw(6, 1, 4, 4)
    options = {"stride": 1, "bias": True, "members": 3, "generator": seeded(), "dtype": torch.float64}
    torch.manual_seed(0)
    singles = [nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 1)) for _ in range(3)]
    for model in (Convolutional((1, 4, 4), 5, 2, **options), Ensemble([m.double() for m in singles])):
        other = there(model, device)
        for a, b in ((other, model), (other.select([2, 0]), model.select([2, 0]))):
            assert_same(a(x.to(device)).detach(), b(x).detach())
        assert_same(other.member(1)(x.to(device)).detach(), model.member(1)(x).detach())
        model(x).square().sum().backward()
        other(x.to(device)).square().sum().backward()
        for p, q in zip(other.parameters(), model.parameters(), strict=True):
            assert_same(p.grad, q.grad)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("loss", [QuadraticHinge(), CrossEntropy()], ids=str)
def test_hessians_spectra_and_inertia(device, activation, loss):
    model, batch = net(activation), patterns()
    expected = curvature.hessian_split(model, loss, batch)
    found = curvature.hessian_split(there(model, device), loss, batch.to(device))
    assert_same(found.h0, expected.h0)
    assert_same(found.hp, expected.hp)
    spectra = curvature.spectrum(found.h), curvature.spectrum(expected.h)
    assert_same(spectra[0].eigenvalues, spectra[1].eigenvalues, rtol=0, atol=1e-10)
    tolerance = 1e-8  # far from all non-zero eigenvalues
    ours, theirs = (curvature.inertia(split.hp, tolerance=tolerance) for split in (found, expected))
    for name in ("n_negative", "n_zero", "n_positive"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    single = model.member(0)
    kernels = [
        curvature.h0_spectrum(one, loss, b).eigenvalues
        for one, b in ((there(single, device), batch.to(device)), (single, batch))
    ]
    assert_same(*kernels, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "kind", [curvature.HessianOperator, curvature.GaussNewtonOperator, curvature.ResidualOperator]
)
def test_operators_and_estimators(device, kind):
    """Vectors are numpy arrays, and the probes of a seed are the same for every device of the model."""
    model, batch = net(members=None), patterns()
    here = kind(model, CrossEntropy(), batch)
    away = kind(there(model, device), CrossEntropy(), batch.to(device))
    vectors = draw(here.shape[0], 3).numpy()
    torch.testing.assert_close(torch.from_numpy(away @ vectors), torch.from_numpy(here @ vectors), **EXACT)
    product = away @ torch.from_numpy(vectors).to(device)
    assert product.device.type == device.type
    torch.testing.assert_close(product.cpu(), torch.from_numpy(here @ vectors), **EXACT)
    shifted = [a + 3.0 * aslinearoperator(np.eye(a.shape[0])) for a in (away, here)]
    tops = [curvature.top_eigenpairs(a, 3).values for a in shifted]
    assert tops[0] == pytest.approx(tops[1], rel=1e-9)
    traces = [curvature.trace(a, n_matvecs=30, generator=seeded()).value for a in shifted]
    assert traces[0] == pytest.approx(traces[1], rel=1e-9)
    densities = [
        curvature.lanczos_density(a, n_probes=2, n_steps=10, generator=seeded()).moment(2) for a in shifted
    ]
    assert densities[0] == pytest.approx(densities[1], rel=1e-9)


def test_a_generator_of_the_device_samples_nets_and_probes_on_it(device):
    generator = torch.Generator(device).manual_seed(0)
    for model in (net(generator=generator), Convolutional((1, 4, 4), 5, 2, bias=True, generator=generator)):
        assert all(p.device.type == device.type for p in model.parameters())
    operator = aslinearoperator(np.eye(50))
    assert curvature.trace(operator, n_matvecs=12, generator=generator).value == pytest.approx(50, rel=0.2)


def test_principal_components(device):
    x = draw(40, 7)
    found, expected = pca(x.to(device), 3, convention="common_scale"), pca(x, 3, convention="common_scale")
    assert_same(found.transform(x.to(device)), expected.transform(x), rtol=1e-9, atol=1e-10)


def both(dynamics, device, model, batch, *, optimizer=None, **options):
    """Final states on the device and on the CPU; the batch is moved to the device by the dynamics."""
    ends = []
    for net in (there(model, device), copy.deepcopy(model)):
        state = TrainState(net, None if optimizer is None else optimizer(net.parameters()))
        for _ in dynamics(state, QuadraticHinge(), batch, **options):
            pass
        ends.append(state)
    return ends


def assert_same_end(found, expected, **tolerance):
    assert found.members.verdicts == expected.members.verdicts
    assert found.members.steps.tolist() == expected.members.steps.tolist()
    assert found.members.n_unsatisfied.tolist() == expected.members.n_unsatisfied.tolist()
    torch.testing.assert_close(found.members.loss, expected.members.loss, **(tolerance or MOVED))
    for p, q in zip(found.model.parameters(), expected.model.parameters(), strict=True):
        assert_same(p.detach(), q.detach(), **(tolerance or MOVED))


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("fused", [False, True])
def test_descent(device, batch_size, fused):
    """Some of nine nets become satisfied one after the other, each at the same step on both devices."""
    ends = both(
        descend_members,
        device,
        net(members=9, width=4),
        patterns(),
        optimizer=lambda p: torch.optim.Adam(p, lr=0.02, fused=fused),
        budget=150,
        stride=7,
        batch_size=batch_size,
    )
    assert_same_end(*ends)
    assert batch_size or len(set(ends[1].members.steps.tolist())) > 2
    assert ends[0].step == ends[1].step


@pytest.mark.parametrize("batch_size", [None, 3])
def test_descent_waits_for_the_device_at_checks_only(device, batch_size):
    state = TrainState(there(net(), device))
    state.optimizer = torch.optim.Adam(state.model.parameters(), lr=1e-4, fused=True)
    options = {
        "budget": 10**6,
        "stride": 10**5,
        "batch_size": batch_size,
        "criterion": Criterion(margin=10.0),
    }
    flow = descend_members(state, QuadraticHinge(), patterns().to(device), **options)
    next(flow)
    state.optimizer.register_step_post_hook(lambda *_: 1 / 0 if state.step >= 50 else None)
    with no_waiting(device), pytest.raises(ZeroDivisionError):
        next(flow)  # 50 steps
    assert state.step == 50


@pytest.mark.parametrize("max_time", [None, 3.0])
def test_gradient_flow(device, max_time):
    """Smooth nets, since at a kink rounding decides whether a step is accepted."""
    clocks = [DenseOutput([0.0, 0.1, 1.0]) for _ in range(2)]
    model, batch, ends = net(members=4), patterns(), []
    for clock, where in zip(clocks, (device, torch.device("cpu")), strict=True):
        state = TrainState(there(model, where))
        options = {"budget": 200, "max_time": max_time, "dense_output": clock}
        for _ in gradient_flow(state, CrossEntropy(), batch, **options):
            pass
        ends.append(state)
    assert_same_end(*ends)
    torch.testing.assert_close(ends[0].members.time, ends[1].members.time, **MOVED)
    assert_same(clocks[0].values, clocks[1].values, **MOVED)
    assert 0 <= ends[0].step - ends[1].step < 10


def test_gradient_flow_waits_for_the_device_at_checks_only(device):
    state, calls = TrainState(there(net(), device)), []
    with ExitStack() as stack:

        class Watched(CrossEntropy):
            def __call__(self, outputs, targets):
                calls.append(1)
                if len(calls) == 4:  # after the first check
                    stack.enter_context(no_waiting(device))
                return super().__call__(outputs, targets) if len(calls) < 60 else 1 / 0

        flow = gradient_flow(state, Watched(), patterns().to(device), budget=10**6, stride=10**5)
        next(flow)
        with pytest.raises(ZeroDivisionError):
            next(flow)
    assert len(calls) == 60


@pytest.mark.parametrize("n", [6, 60])
def test_levenberg_marquardt(device, n):
    ends = both(levenberg_marquardt, device, net(width=4), patterns(n), budget=12)
    assert_same_end(*ends, rtol=1e-5, atol=1e-7)  # Cholesky of systems with a ridge of 1e-3
    torch.testing.assert_close(ends[0].members.step_size, ends[1].members.step_size, rtol=1e-4, atol=0)


def compared(module, configs, device, *, rel):
    found = module.run([replace(config, device=str(device)) for config in configs])
    for ours, theirs in zip(found, module.run(configs), strict=True):
        for name, value in theirs.row.items():
            expected = pytest.approx(value, rel=rel, abs=1e-9) if isinstance(value, float) else value
            assert ours.row[name] == expected, name
    return found


def test_jamming_runs(device):
    for n_train in (6, 60):
        configs = grid(
            jamming_sharpness.Config,
            n_train=n_train,
            width=3,
            dim=3,
            steps=150,
            dtype="float64",
            seed=range(4),
        )
        found = compared(jamming_sharpness, configs, device, rel=1e-5)
        assert found[0].arrays["gaps"].shape == (n_train,)


def test_runs_with_records_and_hessians(device):
    """Random data and few steps: checks that rows and arrays are made, not the physics."""
    options = {"width": 3, "depth": 2, "dim": 3, "dtype": "float64", "seed": range(2)}
    descent = grid(double_descent.Config, data="random", n_train=20, n_test=12, steps=100, **options)
    compared(double_descent, descent, device, rel=1e-5)
    hessians = grid(hessian_phases.Config, n_train=40, steps=100, **options)
    compared(hessian_phases, hessians, device, rel=1e-4)


def test_margins(device):
    model, batch = net(), patterns()
    found, expected = margins(there(model, device), batch.to(device)), margins(model, batch)
    assert_same(found.gaps, expected.gaps)
    assert found.n_unsatisfied.tolist() == expected.n_unsatisfied.tolist()
