"""Layers of any module: selection of layers and of tensors in their output."""

from collections import namedtuple
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from tests.observables.stability import nets
from tests.observables.stability.nets import images, measure, small_net


class Twice(nn.Module):
    """Calls one layer twice, another never, and has one that is named output."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Identity()
        self.output = nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.output(self.relu(-self.relu(x) + 0.5))


class Several(nn.Module):
    """Returns several things at once."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inner = kind, nn.Identity()

    def forward(self, x: Tensor) -> object:
        x = self.inner(x)
        parts = {"image": x, "mean": x.mean((1, 2, 3)), "count": len(x)}
        if self.kind == "dict":
            return parts
        return tuple(parts.values()) if self.kind == "tuple" else namedtuple("Out", parts)(**parts)


def test_layers_measured_together_equal_layers_measured_separately() -> None:
    net = small_net()
    names = [name for name, _ in net.named_modules() if name]
    together = measure(net, layers="all").table()
    assert list(together.index) == [*names, "output"]
    for name in names:
        apart = measure(net, layers=[name]).table()
        assert list(apart.index) == [name, "output"]
        assert apart.loc[name].tolist() == pytest.approx(together.loc[name].tolist(), rel=1e-12)
    assert measure(net).layers == ("output",)


def test_a_layer_equals_the_network_truncated_there() -> None:
    """The ReLU in place does not change the recorded output of the layer before it."""
    net = small_net()
    found = measure(net, layers="all").table()
    for end in range(1, 5):
        alone = measure(net[:end]).table()
        assert found.loc[str(end - 1)].tolist() == pytest.approx(alone.loc["output"].tolist(), rel=1e-12)


def test_layers_by_type_come_in_the_order_of_execution() -> None:
    net = small_net()
    assert measure(net, layers=nn.Conv2d).layers == ("0", "output")
    assert measure(net, layers=["4", nn.Conv2d, "output"]).layers == ("0", "4", "output")


def test_each_call_of_a_layer_is_listed() -> None:
    with pytest.warns(UserWarning, match=r"never called as layer\(x\): unused$") as emitted:
        found = measure(Twice(), layers="all")
    assert [one.filename for one in emitted] == [nets.__file__]  # the line that called `stability`
    assert found.notes == ("not measured, because never called as layer(x): unused",)
    assert found.notes[0] in str(found)
    assert found.layers == ("relu", "relu#2", ".output", "output")
    table = found.table()
    assert table.loc["relu"].tolist() != table.loc["relu#2"].tolist()
    assert table.loc["relu#2"].tolist() == pytest.approx(table.loc["output"].tolist(), rel=1e-12)


@pytest.mark.parametrize(("kind", "choice"), [("tuple", 1), ("dict", "mean"), ("named", "mean")])
def test_output_selects_a_tensor(kind: str, choice: object) -> None:
    model = Several(kind)
    by_name = measure(model, output=choice).table()
    by_function = measure(nn.Sequential(nn.Identity()), output=lambda x: x.mean((1, 2, 3))).table()
    assert by_name.values == pytest.approx(by_function.values, rel=1e-12)
    whole = measure(model, layers=["inner"], output={"output": choice, "inner": lambda x: x[:, :1]})
    assert whole.table().loc["output"].tolist() == pytest.approx(by_name.loc["output"].tolist(), rel=1e-12)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (Several("dict"), {}, r"output: expected a tensor, got dict \{'image': Tensor \(.*'count': int\}"),
        (Several("tuple"), {}, r"got tuple \(0: Tensor .*pass output=\{'output': ...\}"),
        (Several("tuple"), {"output": 7}, "expected output=7, got tuple"),
        (Several("dict"), {"output": "count"}, "expected a tensor, got int"),
        (small_net(), {"layers": ["5"]}, "no module '5'; the nearest names are"),
        (nn.Sequential(nn.Flatten()), {"layers": ["flatten"]}, "no module 'flatten'"),
        (small_net(), {"layers": nn.LSTM}, "no LSTM; it has BatchNorm2d, Conv2d"),
        (Twice(), {"layers": ["unused"]}, "unused not called in the forward pass"),
        (small_net(), {"output": {"conv": 0}}, "expected names of measured layers, got conv"),
        (nn.Flatten(0), {}, "with the 30 images along the first axis, got .* of shape"),
    ],
)
def test_outputs_that_cannot_be_measured_are_an_error(model: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(model, **options)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_not_called_in_every_pass_is_an_error() -> None:
    class Alternating(Twice):
        def forward(self, x: Tensor) -> Tensor:
            self.passes = getattr(self, "passes", 0) + 1
            return self.relu(x) if self.passes % 2 else x

    with pytest.raises(ValueError, match="the same calls in every pass"):
        measure(Alternating(), layers=nn.ReLU)


def test_half_precision_outputs_are_compared_in_float32() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(84, 3)).bfloat16()
    found = measure(net, images().float())
    assert found.defined.all()
    assert found.R.value == pytest.approx(measure(net.float(), images().float()).R.value, rel=0.1)


class Doubled(nn.Module):
    """A parametrisation with a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, weight: Tensor) -> Tensor:
        return 2 * self.inner(weight)


PARAMETRISED: dict[str, Callable[[nn.Module], object]] = {
    "weight norm": lambda layer: parametrizations.weight_norm(layer),
    "spectral norm": lambda layer: parametrizations.spectral_norm(layer),
    "orthogonal": lambda layer: parametrizations.orthogonal(layer),
    "own": lambda layer: parametrize.register_parametrization(layer, "weight", Doubled()),
    "old weight norm": lambda layer: nn.utils.weight_norm(layer),
    "old spectral norm": lambda layer: nn.utils.spectral_norm(layer),
}


@pytest.mark.filterwarnings("ignore:.*deprecated in favor of:FutureWarning")
@pytest.mark.parametrize("name", PARAMETRISED)
def test_parametrised_layers_are_layers(name: str) -> None:
    net, plain = small_net(), small_net()
    PARAMETRISED[name](net[0])
    with torch.no_grad():
        net(images())
        plain[0].weight.copy_(net.eval()[0].weight)
    found = measure(net, layers="all")
    assert found.layers == ("0", "1", "2", "3", "4", "output")
    assert found.notes == ()
    plain[1].load_state_dict(net[1].state_dict())
    expected = measure(plain, layers="all")
    assert found.table().values == pytest.approx(expected.table().values, rel=1e-9)
    assert measure(net, layers=nn.Conv2d).layers == ("0", "output")


def test_modules_that_compute_parameters_are_no_layers() -> None:
    net = small_net()
    parametrize.register_parametrization(net[0], "weight", Doubled())
    with pytest.raises(ValueError, match="the model has no Identity"):
        measure(net, layers=nn.Identity)
    with pytest.raises(ValueError, match=r"expected a floating-point tensor with the 30 images"):
        measure(net, layers=["0.parametrizations.weight.0"])


def test_compiled_networks_that_have_run_are_measured_as_plain_ones() -> None:
    plain = small_net().eval()
    expected = measure(plain, layers="all").table()
    whole = torch.compile(plain, backend="eager")
    part = small_net().eval()
    part[0].compile(backend="eager")
    for net in (whole, part):
        with torch.no_grad():
            for n in (30, 12):
                net(images(n))
        found = measure(net, layers="all")
        assert list(found.table().index) == list(expected.index)
        assert found.table().values == pytest.approx(expected.values, rel=1e-9)
        assert found.notes == ()
    for name in ("0", "_orig_mod.0"):
        assert measure(whole, layers=[name]).layers == (name, "output")


@pytest.mark.parametrize("make", [lambda net: torch.jit.trace(net, images()), torch.jit.script])
def test_layers_of_torchscript_are_reported_as_not_measured(make: Callable[[nn.Module], nn.Module]) -> None:
    net = small_net().eval()
    script = make(net)
    with pytest.warns(
        UserWarning, match=r"not measured: 0, 1, 2, 3 and 1 more; the network is in TorchScript"
    ):
        found = measure(script, layers="all")
    assert found.layers == ("output",)
    assert found.table().values == pytest.approx(measure(net).table().values, rel=1e-9)
    for layers in (["0"], nn.Conv2d):
        with pytest.raises(ValueError, match="pass the network from which it was traced or scripted"):
            measure(script, layers=layers)
    inside = nn.Sequential(script, nn.ReLU())
    with pytest.warns(UserWarning, match=r"not measured: 0\.0, "):
        assert measure(inside, layers="all").layers == ("1", "output")


def test_traced_graphs_have_layers() -> None:
    net = small_net()
    found = measure(torch.fx.symbolic_trace(net), layers="all")
    assert found.table().values == pytest.approx(measure(net, layers="all").table().values, rel=1e-9)


def test_a_shared_module_is_known_by_all_its_names() -> None:
    class Shared(Twice):
        def __init__(self) -> None:
            super().__init__()
            del self.unused
            self.again = self.relu

    net = Shared()
    expected = measure(net, layers="all")
    assert expected.layers == ("relu", "relu#2", ".output", "output")
    assert expected.notes == ("shared modules, listed under one name: again is relu",)
    for layers, name in [(["again"], "again"), (["again", "relu"], "again"), (["relu", "again"], "relu")]:
        found = measure(net, layers=layers)
        assert found.layers == (name, f"{name}#2", "output")
        assert found.R.value.tolist() == pytest.approx(expected.R.value[[0, 1, 3]].tolist(), rel=1e-12)


class Functional(nn.Module):
    """Layers whose weights are used without calling them, a layer that returns a tuple, and containers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 2, 1).double(), nn.Conv2d(2, 2, 1).double()
        self.lstm = nn.LSTM(7, 3, batch_first=True).double()
        self.containers = nn.ModuleList([nn.ParameterList([nn.Parameter(torch.ones(1))]), nn.ModuleDict()])

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.conv2d(x, self.first.weight)
        x = self.second.forward(x)
        return self.lstm(x.mean(1))[0]


def test_layers_that_are_not_measured_are_reported() -> None:
    with pytest.warns(UserWarning, match="stability: not measured") as emitted:
        found = measure(Functional(), layers="all")
    assert len(emitted) == 2
    assert found.layers == ("output",)
    assert found.notes == (
        "not measured, because never called as layer(x): first, second",
        "not measured, because the output does not have one row for each image: lstm; select a tensor with "
        "output= (--output-key)",
    )
    with pytest.warns(UserWarning, match="first, second$"):
        found = measure(Functional(), layers="all", output={"lstm": 0})
    assert found.layers == ("lstm", "output")
    with pytest.raises(ValueError, match=r"lstm: expected a tensor, got tuple.*pass output=\{'lstm': ...\}"):
        measure(Functional(), layers=["lstm"])
    with pytest.raises(ValueError, match=r"first not called in the forward pass; a layer is measured if"):
        measure(Functional(), layers=["first"])
    assert measure(Functional()).notes == ()
