"""Hidden representations of dense, convolutional and other nets against their layers called one by one."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from symnets.models import Convolutional, Dense, Ensemble, FullyConnected, image_net
from symnets.observables import hidden_representations


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(1), dtype=dtype)


def with_biases(net: Any) -> Any:
    generator = Generator().manual_seed(2)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(generator=generator)
    return net


@pytest.mark.parametrize("parametrization", ["ntk", "mean_field", "standard"])
def test_layers_of_a_dense_net(parametrization) -> None:
    net = with_biases(
        Dense(3, 4, 2, activation="tanh", bias=True, parametrization=parametrization, dtype=torch.float64)
    )
    x = draw(5, 3)
    found = hidden_representations(net, x, "all", batch_size=2)
    assert list(found) == ["z1", "a1", "z2", "a2"]
    torch.testing.assert_close(found["a2"], net.activation(found["z2"]))
    readout = net.scales[2] * found["a2"] @ net.weights[2].T + net.biases[2]
    torch.testing.assert_close(readout[:, 0], net(x))
    first = net.scales[0] * x @ net.weights[0].T + net.biases[0]
    torch.testing.assert_close(found["z1"], first.detach())
    assert list(hidden_representations(net, x)) == ["z1", "z2"]
    assert list(hidden_representations(net, x, ["a2", "z1"])) == ["z1", "a2"]
    assert list(hidden_representations(net, x, "a1")) == ["a1"]


@pytest.mark.parametrize("stride", [1, 2])
def test_layers_of_a_convolutional_net(stride) -> None:
    net = with_biases(Convolutional((2, 6, 6), 3, 2, stride=stride, bias=True, dtype=torch.float64))
    x = draw(4, 2, 6, 6)
    found = hidden_representations(net, x, "all")
    features = found["a2"].unflatten(1, (3, -1)).mean(2)
    readout = net.scales[2] * features @ net.weights[2].T + net.biases[2]
    torch.testing.assert_close(readout[:, 0], net(x))
    torch.testing.assert_close(found["a1"], net.activation(found["z1"]))


def test_members_are_single_nets() -> None:
    net = with_biases(Dense(3, 4, 2, members=2, dtype=torch.float64))
    x = draw(2, 5, 3)
    own, shared = hidden_representations(net, x), hidden_representations(net, x[0])
    assert own["z2"].shape == (2, 5, 4)
    for s in range(2):
        torch.testing.assert_close(own["z2"][s], hidden_representations(net.member(s), x[s])["z2"])
    torch.testing.assert_close(shared["z1"][0], own["z1"][0])
    singles = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)) for _ in range(2)]
    x = x[0].float()
    found = hidden_representations(Ensemble(singles), x, nn.Tanh)
    assert list(found) == ["1"]
    torch.testing.assert_close(found["1"][1], singles[1][:2](x).detach())


def test_layers_of_modules_are_the_linear_ones_except_the_last() -> None:
    net, x = FullyConnected((1, 4, 4), 3, depth=2, width=0.02), draw(5, 1, 4, 4, dtype=torch.float32)
    found = hidden_representations(net, x, batch_size=2)
    assert list(found) == ["features.linear1", "features.linear2"]
    torch.testing.assert_close(found["features.linear1"], net.features[:2](x).detach())
    (relu,) = hidden_representations(net, x, "features.relu2").values()
    torch.testing.assert_close(relu, net.features(x).detach())


def test_an_activation_in_place_does_not_change_what_is_returned() -> None:
    net, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 1)), draw(5, 3).float()
    torch.testing.assert_close(hidden_representations(net, x)["0"], net[0](x).detach())


def test_image_nets_have_a_row_for_each_image_in_eval_mode() -> None:
    net = image_net("vgg_bn", (1, 16, 16), 10, width=0.25).train()
    x = draw(4, 1, 16, 16, dtype=torch.float32)
    found = hidden_representations(net, x)
    assert len(found) >= 8
    assert all(values.ndim == 2 and len(values) == 4 for values in found.values())
    assert net.training
    alone = hidden_representations(net, x[:1])
    for name, values in found.items():  # not so in train mode, where images share statistics
        torch.testing.assert_close(values[:1], alone[name], rtol=1e-4, atol=1e-5)


def test_wrong_layers_and_inputs_are_refused() -> None:
    net = Dense(3, 4, 1)
    with pytest.raises(ValueError, match="layers: unknown 'z2'; did you mean 'z1'"):
        hidden_representations(net, draw(5, 3).float(), "z2")
    with pytest.raises(ValueError, match="at least one input"):
        hidden_representations(net, draw(0, 3).float())
    with pytest.raises(ValueError, match="no such hidden layer"):
        hidden_representations(nn.Sequential(nn.Linear(3, 1)), draw(5, 3).float())
    with pytest.raises(ValueError, match="batch_size"):
        hidden_representations(net, draw(5, 3).float(), batch_size=0)
