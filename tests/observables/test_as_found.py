"""Observables leave models and random states as found, whatever the forward pass of a model changes."""

import copy
import inspect
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import molecule
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

import symnets.observables
import symnets.observables.curvature
from symnets.data import Batch, Labels, from_ase
from symnets.diffeo import SineField
from symnets.models import EnergyForces
from symnets.observables import (
    TangentKernelOperator,
    as_found,
    channel_shuffled,
    classification_error,
    hidden_representations,
    margins,
    potential_tangent_kernel,
    predictions,
    select_layers,
    sensitivity,
    shift_consistency,
    stability,
    tangent_kernel,
    tensor_predictions,
)
from symnets.observables.curvature import (
    GaussNewtonOperator,
    HessianOperator,
    ResidualOperator,
    h0_spectrum,
    hessian_split,
)

SHAPE = (2, 4, 4)


class Restless(nn.Module):
    """Changes in its forward pass everything that a module can change."""

    def __init__(self, n_out: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, dtype=torch.float64)
        self.norm = nn.BatchNorm2d(2, dtype=torch.float64)
        self.drop = nn.Dropout(0.3)
        self.head = nn.LazyLinear(n_out, dtype=torch.float64)
        self.scale = nn.Parameter(torch.ones(2, 1, 1, dtype=torch.float64))
        self.initialised, self.log, self.table = False, [], {"mean": torch.zeros(2)}
        self.register_buffer("average", torch.zeros(2, dtype=torch.float64))
        self.noise, self.numpy_noise = generator(), np.random.default_rng(3)
        self.plain = [nn.BatchNorm1d(2, dtype=torch.float64)]  # not registered
        self.conv.weight.grad = torch.ones_like(self.conv.weight)
        self.conv.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.initialised:  # as in ActNorm
            self.scale.data.copy_(1 / x.std((0, 2, 3))[:, None, None])
            self.initialised = True
        self.average = 0.9 * self.average + 0.1 * x.detach().mean((0, 2, 3))  # not in place
        self.register_buffer("extra", torch.ones(1))
        self.last = x
        self.log.append(len(x))
        self.table["mean"].add_(1.0)
        self.table["std"] = x.std()
        self.plain[0](x.detach().mean((2, 3)))
        jitter = self.numpy_noise.random() + np.random.rand() + random.random()  # noqa: NPY002
        jitter += torch.rand(1, generator=self.noise).item() + torch.rand(1).item()
        self.conv.requires_grad_(True)
        with torch.enable_grad():
            (self.conv.weight.sum() * 2.0).backward()  # adds to the gradient
        self.drop.register_forward_hook(lambda *_: None)
        torch.set_default_dtype(torch.float64)
        x.mul_(0.5)
        hidden = self.drop(self.norm(self.conv(x * self.scale)))
        return self.head(hidden.tanh().flatten(1)) + 1e-3 * jitter


class Potential(nn.Module):
    """Energies from a `Restless` net, for observables of force fields."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Restless()

    def forward(self, graph: Any) -> EnergyForces:
        x = graph.pos.double().repeat(3, 1).flatten()[: 2 * 4 * 4].reshape(1, *SHAPE)
        graph.pos.mul_(2.0)
        energy = self.net(torch.cat([x, 2 * x]))[:1, 0]
        return EnergyForces(
            energy=energy, forces=torch.zeros_like(graph.pos), stress=None, node_energy=energy
        )


class RestlessTensors(Potential):
    """One tensor of a structure from a `Restless` net."""

    def tensors(self, graph: Any) -> dict[str, Tensor]:
        return {"dipole": self(graph).energy[:, None].expand(1, 3)}


class AtomicPotential(Potential):
    """Energies of atoms from a `Restless` net, for kernels of forces."""

    def forward(self, graph: Any) -> Tensor:
        x = graph.pos.double().repeat(3, 1).flatten()[: 2 * 4 * 4].reshape(1, *SHAPE)
        return self.net(torch.cat([x, 2 * x]))[:1, 0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


IMAGES = torch.randn(6, *SHAPE, generator=generator(1), dtype=torch.float64)
SIGNS = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, -1.0], dtype=torch.float64)


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets) ** 2


def structures() -> list[tuple[Any, Labels]]:
    graph = from_ase(molecule("CH3CH2OH"), 3.0)
    owner = torch.zeros(9, dtype=torch.int64)
    labels = Labels(torch.zeros(1), torch.zeros(9, 3), None, owner, torch.tensor([9]))
    return [(graph, labels)]


def measured_stability(model: nn.Module) -> object:
    return stability(
        model, IMAGES, SineField((4, 4), cutoff=2), delta=0.3, layers="all", n_draws=1, generator=generator()
    )


def stability_of_batch(model: nn.Module) -> object:
    field = SineField((4, 4), cutoff=2)
    return stability(model, IMAGES, field, delta=0.3, batch_norm="batch", n_draws=1, generator=generator())


def all_columns(operator: Callable[..., Any]) -> Callable[[nn.Module], object]:
    def measure(model: nn.Module) -> object:
        halves = [(IMAGES[:3], SIGNS[:3]), (IMAGES[3:], SIGNS[3:])]
        made = operator(model, squared, halves)
        return made @ np.ones(made.shape[0])

    return measure


PAIR = Batch(IMAGES, SIGNS)
MEASURES: dict[str, tuple[int, Callable[[nn.Module], object]]] = {
    "stability": (3, measured_stability),
    "stability, batch": (3, stability_of_batch),
    "margins": (1, lambda model: margins(model, PAIR)),
    "classification_error": (3, lambda model: classification_error(model, IMAGES, torch.arange(6) % 3)),
    "shift_consistency": (
        3,
        lambda model: shift_consistency(model, IMAGES, max_shift=1, generator=generator()),
    ),
    "sensitivity": (3, lambda model: sensitivity(model, IMAGES, IMAGES.flip(0), layers="all")),
    "channel_shuffled": (3, lambda model: channel_shuffled(model, generator=generator())),
    "hidden_representations": (3, lambda model: hidden_representations(model, IMAGES, batch_size=3)),
    "select_layers": (3, lambda model: select_layers(model, "all")),
    "tangent_kernel": (1, lambda model: tangent_kernel(model, IMAGES)),
    "TangentKernelOperator": (1, lambda model: TangentKernelOperator(model, IMAGES) @ np.ones(6)),
    "h0_spectrum": (1, lambda model: h0_spectrum(model, squared, PAIR)),
    "hessian_split": (1, lambda model: hessian_split(model, squared, PAIR)),
    "HessianOperator": (1, all_columns(HessianOperator)),
    "GaussNewtonOperator": (1, all_columns(GaussNewtonOperator)),
    "ResidualOperator": (1, all_columns(ResidualOperator)),
}


def contents(value: Any, done: dict[int, int]) -> Any:
    """Everything in a module as nested tuples, which compare by value and by identity of objects."""
    if id(value) in done:
        return done[id(value)]
    done[id(value)] = len(done)
    if isinstance(value, UninitializedParameter):
        return type(value).__name__, id(value)
    if isinstance(value, Tensor):
        values = value.detach().flatten().tolist(), tuple(value.shape), value.dtype
        return id(value), *values, value.requires_grad, contents(value.grad, done) if value.is_leaf else None
    if isinstance(value, nn.Module):
        return type(value).__name__, contents(vars(value), done)
    if isinstance(value, dict):
        return id(value), tuple((key, contents(part, done)) for key, part in value.items())
    if isinstance(value, list):
        return id(value), tuple(contents(part, done) for part in value)
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    return repr(value.bit_generator.state) if isinstance(value, np.random.Generator) else id(value)


def random_states() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())  # noqa: NPY002


def check_unchanged(model: nn.Module, measure: Callable[[nn.Module], object]) -> None:
    model.train()
    model.get_submodule("net.norm" if isinstance(model, Potential) else "norm").eval()  # modes are mixed
    before, states, images = contents(model, {}), random_states(), IMAGES.clone()
    measure(model)
    assert torch.equal(IMAGES, images)
    assert contents(model, {}) == before
    assert random_states() == states
    assert torch.get_default_dtype() == torch.float32


# A data-dependent initialisation has no derivative, which the Hessian notices.
@pytest.mark.filterwarnings("ignore:HessianOperator.*a product differs:RuntimeWarning")
@pytest.mark.parametrize("initialised", [False, True])
@pytest.mark.parametrize("name", MEASURES)
def test_every_observable_leaves_the_model_as_found(name: str, initialised: bool) -> None:
    n_out, measure = MEASURES[name]
    model = Restless(n_out)
    if initialised or "Operator" in name or name in ("hessian_split", "tangent_kernel", "h0_spectrum"):
        with as_found(nn.Identity()):
            model.head(torch.zeros(1, 8, dtype=torch.float64))  # these need the number of parameters
    if initialised:
        with as_found(nn.Identity()):
            model(IMAGES)
            model.conv.requires_grad_(False)
    check_unchanged(model, measure)


def test_predictions_leave_the_model_as_found() -> None:
    graphs = structures()
    positions = graphs[0][0].pos.clone()
    check_unchanged(Potential(), lambda model: predictions(model, graphs))
    assert torch.equal(graphs[0][0].pos, positions)


def test_predictions_of_tensors_leave_the_model_as_found() -> None:
    graph, labels = structures()[0]
    dipole = {"dipole": torch.zeros(1, 3, dtype=torch.float64)}
    labelled = [(graph, labels._replace(tensors=dipole))]
    positions, model = graph.pos.clone(), RestlessTensors()
    check_unchanged(model, lambda model: tensor_predictions(model, labelled))  # pyright: ignore
    assert torch.equal(graph.pos, positions)


def test_kernels_of_forces_leave_the_model_as_found() -> None:
    graph = structures()[0][0]
    positions, model = graph.pos.clone(), AtomicPotential()
    with as_found(nn.Identity()):
        model.net.head(torch.zeros(1, 8, dtype=torch.float64))
    check_unchanged(model, lambda model: potential_tangent_kernel(model, graph))
    assert torch.equal(graph.pos, positions)


def test_a_model_that_changes_its_input_is_measured_as_one_that_does_not() -> None:
    class Half(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            self.in_place, self.head = in_place, nn.Linear(32, 1).double()
            nn.init.constant_(self.head.weight, 0.1)
            nn.init.zeros_(self.head.bias)

        def forward(self, x: Tensor) -> Tensor:
            x = x.mul_(0.5) if self.in_place else 0.5 * x
            return self.head(x.square().flatten(1))

    one, other = Half(True), Half(False)
    for name, (n_out, measure) in MEASURES.items():
        if n_out == 1:
            assert repr(measure(one)) == repr(measure(other)), name
    field = SineField((4, 4), cutoff=2)
    for batch_size in (2, 500):
        found, expected = (
            stability(m, IMAGES, field, delta=0.3, generator=generator(), batch_size=batch_size)
            for m in (one, other)
        )
        assert str(found) == str(expected)


def test_kernels_are_computed_in_inference_mode() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 1)).double()
    with torch.inference_mode():
        kernel = tangent_kernel(model, IMAGES.clone())
    torch.testing.assert_close(kernel, tangent_kernel(model, IMAGES))


def test_no_public_observable_is_forgotten() -> None:
    packages = (symnets.observables, symnets.observables.curvature)
    public = {name: getattr(package, name) for package in packages for name in package.__all__}
    takes_model = {
        name
        for name, value in public.items()
        if callable(value)
        and inspect.getmodule(value) is not None
        and "model" in getattr(inspect.signature(value), "parameters", {})
    }
    tested = {name.partition(",")[0] for name in MEASURES} | {
        "as_found",
        "potential_tangent_kernel",
        "predictions",
        "tensor_predictions",
    }
    # A base class, a function of ensembles only, one that reads weights without calling the model, and one
    # that calls `tangent_kernel`, but refuses modules in training mode.
    untested = {"CurvatureOperator", "single_nets", "compression", "write_tangent_kernel"}
    assert takes_model - untested == tested


def test_a_model_is_as_found_after_an_error() -> None:
    model = Restless(3)

    def fails(model: nn.Module) -> None:
        with pytest.raises(ValueError, match=r"expected outputs \(6, classes\)"):
            classification_error(nn.Sequential(model, nn.Unflatten(1, (3, 1))), IMAGES, torch.zeros(6).long())

    check_unchanged(model, fails)


def test_changes_last_until_the_end_of_the_context() -> None:
    """Inside the context the model works as usual: the second pass is initialised by the first."""
    model = Restless(2)
    with as_found(model):
        model(IMAGES)
        first = model.scale.clone()
        model(5 * IMAGES)
        assert torch.equal(model.scale, first)
        assert model.log == [6, 6]
    assert torch.equal(model.scale, torch.ones_like(model.scale))


def test_a_graph_from_before_stays_valid_and_one_that_uses_a_restored_tensor_is_refused() -> None:
    model = nn.BatchNorm1d(2).eval()
    x = torch.ones(3, 2)
    before = model(x).sum()  # keeps the running statistics
    with as_found(model):
        model(x)
        model.running_mean.data.add_(1.0)
        model.weight.data.mul_(2.0)
    before.backward()
    assert torch.equal(model.running_mean, torch.zeros(2))
    assert torch.equal(model.weight, torch.ones(2))
    held = SimpleNamespace()

    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count = torch.ones(1)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.count.add_(1.0)

    with as_found(counter := Counter()):
        held.sum = counter(x.requires_grad_()).sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        held.sum.backward()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def test_scripted_modules_are_left_as_found(tmp_path) -> None:
    class Running(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(2)
            self.register_buffer("average", torch.zeros(2))
            self.started = False

        def forward(self, x: Tensor) -> Tensor:
            if not self.started:
                self.average = x.mean(0)
                self.started = True
            return self.norm(x)

    scripted = torch.jit.script(Running())
    scripted.save(tmp_path / "net.pt")
    for model in (scripted, torch.jit.load(tmp_path / "net.pt")):
        state = copy.deepcopy(model.state_dict())
        average = model.average
        with as_found(model):
            model(torch.rand(4, 2))
            model.eval()
            assert model.average is not average
            assert model.started
        assert model.average is average
        assert not model.started or model is not scripted
        assert model.training
        assert model.norm.training
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "buffer",
    [
        torch.eye(2).to_sparse(),
        torch.ones(1).expand(4),
        torch.tensor([float("nan"), 1.0]),
        torch.ones(2, dtype=torch.complex64).conj(),
        torch.empty(0),
        torch.ones(2, device="meta"),
    ],
)
def test_buffers_of_any_layout(buffer: Tensor) -> None:
    model = nn.Module()
    model.register_buffer("values", buffer)
    before = buffer.clone()
    with as_found(model):
        if buffer.layout != torch.strided or 0 not in buffer.stride():
            buffer.mul_(2)
    if not buffer.is_meta:
        torch.testing.assert_close(buffer, before, rtol=0, atol=0, equal_nan=True)


def test_modes_of_torch_are_left_as_found() -> None:
    with as_found(nn.Identity()):
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.bfloat16)
        torch.set_autocast_enabled("cpu", True)
        torch.set_autocast_dtype("cpu", torch.float16)
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert not torch.is_autocast_enabled("cpu")
    assert torch.get_autocast_dtype("cpu") == torch.bfloat16
