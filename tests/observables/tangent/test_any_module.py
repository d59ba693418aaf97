"""Tangent kernels of modules without a closed form: tensors by vmap or loops, and graphs of potentials."""

from collections.abc import Callable

import pytest
import torch
from ase.build import molecule
from torch import Tensor, nn
from torch_geometric.data import Batch

from symnets.data import AtomGraph, from_ase
from symnets.models import Ensemble, ForceField, NequIP
from symnets.observables import tangent_kernel
from symnets.observables._tangent_kernel import _gradients
from tests.naive.tangent_kernel import product_of_rows
from tests.observables.tangent.test_closed_form import CLOSE, X1, X2, draw


class Bilinear(nn.Module):
    """A net with a bilinear layer, for which symnets has no closed form."""

    def __init__(self, d_out: int = 1, change: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(5, 3, 3, dtype=torch.float64))
        self.last = nn.Linear(5, d_out).double()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.einsum("hij,ni,nj->nh", self.first, x, x).tanh()
        return self.last(hidden if self.change is None else self.change(hidden))


def bilinear(*arguments) -> Bilinear:
    torch.manual_seed(0)
    return Bilinear(*arguments)


@pytest.mark.parametrize(("outputs", "d_out"), [("full", 1), ("full", 3), ("trace", 3), ("sum", 3)])
@pytest.mark.parametrize("max_bytes", [2**30, 4000])
def test_any_memory_gives_products_of_gradients(outputs: str, d_out: int, max_bytes: int) -> None:
    net = bilinear(d_out)
    for x2 in (None, X2):
        found = tangent_kernel(net, X1, x2, outputs=outputs, max_bytes=max_bytes)
        torch.testing.assert_close(found, product_of_rows(net, X1, x2, outputs), **CLOSE)


def test_no_more_gradients_are_held_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """12 points of 51 parameters in 2,000 bytes: two blocks of two points at a time."""
    net, sizes = bilinear(), []
    make = _gradients.Gradients._empty
    monkeypatch.setattr(
        _gradients.Gradients, "_empty", lambda self, n: sizes.append(n * self.n_params * 8) or make(self, n)
    )
    kernel = tangent_kernel(net, draw(12, 3), max_bytes=2000)
    assert max(sizes) <= 1000
    assert kernel.shape == (12, 12)


@pytest.mark.parametrize("change", [torch.Tensor.detach, lambda h: h * float(h.detach().sum() * 0 + 2)])
def test_layers_without_gradient_and_modules_that_vmap_refuses(change: Callable[[Tensor], Tensor]) -> None:
    """The second one reads a number out of a tensor, which vmap refuses."""
    net = bilinear(2, change)
    torch.testing.assert_close(tangent_kernel(net, X1), product_of_rows(net, X1), **CLOSE)


def test_batch_normalisation_in_training_mode_is_that_of_the_whole_set() -> None:
    net = bilinear(2, nn.BatchNorm1d(5, affine=False).double()).train()
    torch.testing.assert_close(tangent_kernel(net, X1), product_of_rows(net, X1), **CLOSE)
    with pytest.raises(ValueError, match=r"depend on the others .* use model.eval\(\)"):
        tangent_kernel(net, X1, max_bytes=2000)


def test_members_of_an_ensemble() -> None:
    nets = [bilinear(2), bilinear(2)]
    nets[1].first.data.mul_(2)
    found = tangent_kernel(Ensemble(nets), X1, X2)
    for kernel, net in zip(found, nets, strict=True):
        torch.testing.assert_close(kernel, product_of_rows(net, X1, X2), **CLOSE)


def test_operations_without_a_rule_for_vmap_give_no_warning() -> None:
    class Product(nn.Bilinear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x, x)

    net = Product(3, 3, 1).double()
    torch.testing.assert_close(tangent_kernel(net, X1), product_of_rows(net, X1), **CLOSE)


def test_kernel_of_a_linear_function_is_the_gram_matrix() -> None:
    net = nn.Linear(3, 1, dtype=torch.float64)
    torch.testing.assert_close(tangent_kernel(net, X1), X1 @ X1.T + 1)


def test_outputs_of_another_shape_are_refused() -> None:
    net = nn.Sequential(bilinear(4), nn.Unflatten(1, (2, 2)))
    with pytest.raises(ValueError, match=r"expected .*\(n, outputs\).*got outputs of shape \(8, 2, 2\)"):
        tangent_kernel(net, X1)
    constant = bilinear(1)
    constant.forward = lambda x: x[:, 0].clone()
    with pytest.raises(ValueError, match="do not depend on its parameters"):
        tangent_kernel(constant, X1)


def molecules(*names: str) -> AtomGraph:
    atoms = [molecule(name) for name in names]
    for k, each in enumerate(atoms):
        each.rattle(0.1, seed=k)
    return Batch.from_data_list([from_ase(each, 3.0, dtype=torch.float64) for each in atoms])  # pyright: ignore[reportReturnType]


def potential() -> NequIP:
    torch.manual_seed(0)
    return NequIP(
        species=["H", "C", "O"], cutoff=3.0, lmax=1, layers=2, channels=2, mean_neighbors=4.0
    ).double()


def energy_gradients(model: NequIP, graph: AtomGraph) -> Tensor:
    """∂E/∂w of each graph, from the energies of its atoms."""
    node_energy = model(graph)
    trained = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for k in range(graph.n_graphs):
        energy = node_energy[graph.owner == k].sum()
        parts = torch.autograd.grad(
            energy, trained, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows.append(torch.cat([part.reshape(-1) for part in parts]))
    return torch.stack(rows)


@pytest.mark.parametrize("max_bytes", [2**30, 1])
def test_energies_of_an_equivariant_net(max_bytes: int) -> None:
    model = potential()
    left, right = molecules("CH4", "H2O", "CH3OH"), molecules("CO2", "C2H2")
    rows, columns = energy_gradients(model, left), energy_gradients(model, right)
    # Energies are sums over atoms of some thousand products each.
    close = {"rtol": 1e-12, "atol": 1e-12 * float((rows @ rows.T).abs().max())}
    torch.testing.assert_close(tangent_kernel(model, left, max_bytes=max_bytes), rows @ rows.T, **close)
    found = tangent_kernel(ForceField(model), left, right, max_bytes=max_bytes)
    torch.testing.assert_close(found, rows @ columns.T, **close)


def test_the_kernel_of_energies_does_not_change_under_rotation() -> None:
    model, graph = potential(), molecules("CH3OH", "H2O")
    rotation = torch.linalg.qr(draw(3, 3))[0]
    turned = graph.clone()
    turned.pos = graph.pos @ rotation
    torch.testing.assert_close(tangent_kernel(model, graph, turned), tangent_kernel(model, graph))
