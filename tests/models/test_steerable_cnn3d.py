"""SteerableCNN3D: exact symmetry under the group of the cube, fields, files, transforms, observables."""

import json

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from symnets.data import Loader, TensorPairs, solids
from symnets.diffeo import SineField
from symnets.models import SteerableCNN3D, load, save
from symnets.observables import margins, stability, tangent_kernel
from symnets.observables.curvature import hessian_split
from symnets.testing import random_rotation
from symnets.training import Trainer, TrainState, cross_entropy, descend, max_steps
from tests.voxels import cube_group

SMALL = {"irreps": "2x0e+1x1o+1x2e", "size": 3}


def small(grid: int = 7, n_classes: int = 3, **arguments) -> SteerableCNN3D:
    """A net of few channels in float64, with seeded weights, after one batch in training mode."""
    torch.manual_seed(0)
    channels = arguments.pop("channels", 1)
    net = SteerableCNN3D((channels, grid, grid, grid), n_classes, **(SMALL | arguments)).double()
    net(torch.randn(4, channels, grid, grid, grid, dtype=torch.float64))
    return net.eval()


def boxes(n: int, grid: int = 7) -> Tensor:
    return solids(n, grid, dtype=torch.float64).voxels


@pytest.mark.parametrize("grid", [7, 8, 9])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_logits_are_invariant_under_rotations_and_reflections_of_the_cube(grid, mode):
    net, x = small(grid), boxes(3, grid)
    net.train(mode == "train")
    expected = net(x)
    for element in list(cube_group())[:: 1 if grid == 7 and mode == "eval" else 16]:
        assert (net(element.of_grid(x)) - expected).norm() < 1e-11 * expected.norm()


def test_fields_are_equivariant_under_rotations_and_reflections_of_the_cube():
    """Input and output in e3nn's order."""
    irreps_in, irreps_out = "1x0e+2x1o", "2x0e+2x1o+1x2e"
    net = small(5, channels=7, irreps_in=irreps_in, irreps_out=irreps_out)
    x = torch.randn(1, 7, 5, 5, 5, dtype=torch.float64)
    expected = net(x)
    assert expected.shape == (1, 13, 5, 5, 5)
    for element in list(cube_group())[::5]:
        rotated = net(element.of_field(x, irreps_in, "mul_ir"))
        difference = rotated - element.of_field(expected, irreps_out, "mul_ir")
        assert difference.norm() < 1e-11 * expected.norm()


def test_an_output_of_pseudoscalars_changes_its_sign_under_reflections():
    net = small(5, irreps="2x0e+1x0o+1x1o+1x1e", irreps_out="1x0o")
    x = torch.randn(1, 1, 5, 5, 5, dtype=torch.float64)
    expected, mirrored = net(x).sum(), net(x.flip(2)).sum()
    assert expected.abs() > 1e-6
    torch.testing.assert_close(mirrored, -expected)


@pytest.mark.slow
@torch.no_grad()
def test_logits_hardly_change_under_other_rotations_and_less_on_finer_grids():
    """Solids whose faces have one width in units of the box, so that finer grids resolve them better."""
    errors = []
    for grid in (13, 33):
        squares = []
        for seed in range(3):
            torch.manual_seed(seed)
            net = SteerableCNN3D((1, grid, grid, grid), 8, width=0.5)
            for module in net.modules():
                if hasattr(module, "momentum"):
                    module.momentum = 1.0  # running averages are those of the next batch
            net(solids(14, grid, seed=1, edge=0.1).voxels)
            net.eval()
            rotation = torch.as_tensor(random_rotation(0))
            before, after = (net(solids(7, grid, edge=0.1, rotation=r).voxels) for r in (None, rotation))
            squares.append(float(((after - before).norm() / (before - before.mean(0)).norm()).square()))
        errors.append((sum(squares) / len(squares)) ** 0.5)
    assert errors[1] < 0.6 * errors[0]
    assert errors[1] < 0.1


def test_boxes_of_unequal_edges_and_one_class_of_input():
    net = SteerableCNN3D((2, 5, 6, 7), 4, width=0.5, irreps="4x0e+2x1o", size=3)
    assert net(torch.randn(2, 2, 5, 6, 7)).shape == (2, 4)


def test_training_tells_solids_apart():
    """Solids of two classes, in all orientations."""
    torch.manual_seed(0)
    data = solids(28, 9, shift=0.0, radius=(0.5, 0.5))
    chosen = (data.labels == 1) | (data.labels == 6)  # cubes and tori
    x, labels = data.voxels[chosen], (data.labels[chosen] == 1).long()
    net = SteerableCNN3D((1, 9, 9, 9), 2, **SMALL)
    state = TrainState(net, torch.optim.Adam(net.parameters(), lr=0.01))
    loader = Loader(TensorPairs(x, labels), 8, shuffle=True)
    Trainer(max_steps(20)).fit(descend(state, cross_entropy, loader))
    assert (net.train()(x).argmax(1) == labels).all()


def test_config_is_json_that_rebuilds_and_files_keep_the_net(tmp_path):
    net, x = small(), boxes(2)
    again = SteerableCNN3D(**json.loads(json.dumps(net.config)))
    assert again.config == net.config
    save(net, tmp_path / "net.safetensors")
    torch.testing.assert_close(load(tmp_path / "net.safetensors", SteerableCNN3D)(x), net(x), rtol=0, atol=0)


def test_transforms_of_torch():
    net, x = small(5), boxes(3, 5)
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    single = vmap(lambda voxels: functional_call(net, parameters, (voxels[None],))[0])(x)
    torch.testing.assert_close(single, net(x))
    jacobian = jacrev(lambda p: functional_call(net, p, (x,)))(parameters)
    (expected,) = torch.autograd.grad(net(x).sum(), net.readout.weight)  # pyright: ignore
    torch.testing.assert_close(jacobian["readout.weight"].sum((0, 1)), expected)


def test_float32_agrees_with_float64():
    net, x = small(), boxes(3)
    expected = net(x)
    torch.testing.assert_close(net.float()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


def test_stability_under_deformations_in_three_dimensions():
    net = small(7)
    field = SineField((7, 7, 7), cutoff=2)
    generator = torch.Generator().manual_seed(0)
    found = stability(net, boxes(14), field, delta=0.3, layers="features.block2", generator=generator)
    assert found.layers == ("features.block2", "output")
    assert (found.R.value > 0).all()


def test_tangent_kernel_is_that_of_gradients():
    net, x = small(5, n_classes=2), boxes(3, 5)
    kernel = tangent_kernel(net, x)
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(net(x)[i, c], list(net.parameters()))])
        for i in range(3)
        for c in range(2)
    ]
    gradients = torch.stack(rows)
    expected = (gradients @ gradients.mT).view(3, 2, 3, 2).transpose(1, 2)
    torch.testing.assert_close(kernel, expected)


def test_margins():
    net, x = small(4, n_classes=1), boxes(4, 4)
    y = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(margins(net, (x, y)).gaps, 1 - y * net(x)[:, 0].detach())


def test_split_of_the_hessian():
    """The entry of the readout's bias, on which f depends linearly, is ℓ'' = 2; that of H_p is 0."""
    net = small(3, n_classes=1, irreps="1x0e", width=0.05)
    x, y = boxes(2, 3), torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    split = hessian_split(net, torch.nn.MSELoss(), (x, y))
    names, sizes = zip(*((name, p.numel()) for name, p in net.named_parameters()), strict=True)
    entry = sum(sizes[: names.index("readout.bias")])
    torch.testing.assert_close(split.h0[entry, entry], torch.tensor(2.0, dtype=torch.float64))
    assert split.hp[entry, entry].abs() < 1e-12
    assert (split.hp != 0).any()


def test_invalid_arguments_are_refused():
    with pytest.raises(
        ValueError, match=r"shape: expected \(channels, depth, rows, columns\), got \(9, 9, 9\)"
    ):
        SteerableCNN3D((9, 9, 9), 2)
    with pytest.raises(ValueError, match="n_classes: expected at least 1"):
        SteerableCNN3D((1, 9, 9, 9), 0)
    with pytest.raises(ValueError, match="width: expected a positive"):
        SteerableCNN3D((1, 9, 9, 9), 2, width=0.0)
    with pytest.raises(ValueError, match=r"irreps_in: 1x1o has 3 components, but shape \(1, 9, 9, 9\) has 1"):
        SteerableCNN3D((1, 9, 9, 9), 2, irreps_in="1x1o")
    with pytest.raises(ValueError, match=r"voxels: expected shape \(n, 1, 9, 9, 9\), got \(2, 1, 8, 8, 8\)"):
        SteerableCNN3D((1, 9, 9, 9), 2)(torch.zeros(2, 1, 8, 8, 8))
