"""Layers of any module: selection of layers and of tensors in their output."""

from collections import namedtuple

import pytest
from torch import Tensor, nn

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
    found = measure(Twice(), layers="all")
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
    class Moody(Twice):
        def forward(self, x: Tensor) -> Tensor:
            self.passes = getattr(self, "passes", 0) + 1
            return self.relu(x) if self.passes % 2 else x

    with pytest.raises(ValueError, match="the same calls in every pass"):
        measure(Moody(), layers=nn.ReLU)


def test_half_precision_outputs_are_compared_in_float32() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(84, 3)).bfloat16()
    found = measure(net, images().float())
    assert found.defined.all()
    assert found.R.value == pytest.approx(measure(net.float(), images().float()).R.value, rel=0.1)
