"""Steerable convolution on voxels: symmetry, its dense kernel, its band limit."""

import math

import pytest
import torch
import torch.nn.functional as F
from e3nn import o3
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vmap

from symnets.nn import VoxelConvolution
from symnets.ops import wigner_3j
from tests.voxels import cube_group

IRREPS_IN, IRREPS_OUT = "2x0e+1x0o+2x1o+1x2e", "2x0e+1x1o+1x1e+1x2e"


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("grid", "stride"), [(5, 1), (6, 1), (5, 2), (7, 2), (8, 2), (7, 3), (8, 3)])
def test_rotations_and_reflections_of_the_cube_are_exact(grid, stride):
    """Sizes of grids are odd or even, and size - 1 is divisible by the stride or not."""
    conv = VoxelConvolution(IRREPS_IN, IRREPS_OUT, 5, stride=stride)
    fields = torch.randn(1, conv.irreps_in.dim, grid, grid, grid)
    expected = conv(fields)
    assert expected.shape[2:] == (math.ceil(grid / stride),) * 3
    rotated = conv(torch.cat([element.of_field(fields, conv.irreps_in) for element in cube_group()]))
    for found, element in zip(rotated, cube_group(), strict=True):
        difference = found - element.of_field(expected, conv.irreps_out)[0]
        assert difference.norm() < 1e-12 * expected.norm()


def slow_sum(conv: VoxelConvolution, fields: Tensor) -> Tensor:
    """The sum over products of filters along the axes, each with its own mixing of channels."""
    bases, filters = conv._table(fields)
    out = torch.zeros(())
    for (i, j, k), matrix in zip(conv.jets, conv._mixing(bases), strict=True):
        along = filters[0][i], filters[1][j], filters[2][k]
        out = out + torch.einsum("ndrcv,xd,yr,zc,vo->noxyz", fields.movedim(1, -1), *along, matrix)
    return out


@pytest.mark.parametrize(
    ("grid", "stride", "size"), [((7, 6, 5), 1, 5), ((7, 8, 5), 2, 5), ((8, 7, 9), 3, 3)]
)
@pytest.mark.parametrize(
    "irreps", [("2x0e+1x1o", IRREPS_OUT), (IRREPS_IN, IRREPS_OUT), (IRREPS_IN, "9x0e+9x1o")]
)
def test_channels_may_be_mixed_before_or_after_the_filters(irreps, grid, stride, size):
    """They are mixed after the filters if they are few, with a stride, or if the output has more of them."""
    conv = VoxelConvolution(*irreps, size, stride=stride, degree=2)
    fields = torch.randn(2, conv.irreps_in.dim, *grid)
    torch.testing.assert_close(conv(fields), slow_sum(conv, fields), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("irreps_in", ["1x0e+1x1o", IRREPS_IN])
def test_convolution_is_conv3d_with_its_kernel(irreps_in):
    conv = VoxelConvolution(irreps_in, IRREPS_OUT, 3, padding="zeros")
    fields = torch.randn(2, conv.irreps_in.dim, 4, 5, 6)
    torch.testing.assert_close(conv(fields), F.conv3d(fields, conv.kernel(), padding=1))


def test_stride_is_a_low_pass_and_a_conv3d_with_stride():
    """Output voxels are input voxels; the border is replicated beyond the reach of low-pass and kernel."""
    conv = VoxelConvolution("1x0e+1x1o", "1x0e+1x1o", 5, stride=2)
    fields = torch.randn(1, 4, 7, 5, 9)
    reach = math.ceil(3 * math.sqrt(3) * conv.sigma)
    steps = torch.arange(-reach, reach + 1)
    low_pass = (-(steps**2) / (2 * 3 * conv.sigma**2)).exp()
    low_pass /= low_pass.sum()
    x = F.pad(fields, (reach + 2,) * 6, mode="replicate")
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = len(steps)
        x = F.conv3d(x, low_pass.view(shape).expand(4, *shape[1:]), groups=4)
    torch.testing.assert_close(conv(fields), F.conv3d(x, conv.kernel(), stride=2))


def test_constant_scalars_remain_constant():
    """The border of the box has no effect, even with a stride; vectors computed from a constant are 0."""
    conv = VoxelConvolution("1x0e", "1x0e+1x1o+1x2e", 5, stride=2)
    out = conv(torch.ones(1, 1, 6, 8, 10))
    torch.testing.assert_close(out[:, :1], out[0, 0, 1, 1, 1].expand(1, 1, 3, 4, 5))
    assert out[:, 1:].abs().max() < 1e-12


def slow_kernel(conv: VoxelConvolution) -> Tensor:
    """The kernel from one irrep to one irrep, written from its formula."""
    (_, ir_in), (_, ir_out) = conv.irreps_in[0], conv.irreps_out[0]
    axis = torch.arange(conv.size) - (conv.size - 1) / 2
    y = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1) / conv.sigma
    r2 = y.square().sum(-1)
    functions, weights = [], iter(conv.weights[0][:, 0, 0])
    for ir in ir_in * ir_out:
        if ir.p != (-1) ** ir.l or ir.l > conv.degree:
            continue
        for n in range((conv.degree - ir.l) // 2 + 1):
            laguerre = [torch.ones_like(r2), ir.l + 1.5 - r2][n]  # L_0 and L_1 of index l + 1/2
            values = (laguerre * (-r2 / 2).exp())[..., None] * o3.spherical_harmonics(
                ir.l, y, normalize=False
            )
            values = values * ir.dim**0.5 / values.norm()
            coupling = ir_out.dim**0.5 * wigner_3j(ir_in.l, ir.l, ir_out.l)
            functions.append(next(weights) * torch.einsum("imo,xyzm->oixyz", coupling, values))
    return torch.stack(functions).sum(0) / len(functions) ** 0.5


@pytest.mark.parametrize("irreps", [("0e", "0e"), ("0e", "2e"), ("1o", "1o"), ("1o", "1e"), ("2e", "1o")])
def test_kernel_is_radial_functions_times_harmonics_times_coupling(irreps):
    conv = VoxelConvolution(*irreps, 5, degree=3)
    torch.testing.assert_close(conv.kernel(), slow_kernel(conv), rtol=1e-11, atol=1e-13)


def test_kernel_is_steerable():
    """K(y) = D_out(R) K(R⁻¹ y) D_in(R)ᵀ, on voxels that a rotation maps to voxels."""
    kernel = VoxelConvolution("1o", "2e", 5).kernel()
    for element in cube_group():
        after, before = element.of_irrep(o3.Irrep("2e")), element.of_irrep(o3.Irrep("1o"))
        rotated = torch.einsum("ab,bcxyz,dc->adxyz", after, element.of_grid(kernel), before)
        torch.testing.assert_close(rotated, kernel, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "bound"), [(3, 0.02), (5, 0.02), (7, 0.02)])
def test_kernel_resolves_rotations_of_waves(size, bound):
    """Response at one voxel to plane waves of half the largest frequency of the grid, in any direction."""
    conv = VoxelConvolution("0e", "1o", size)
    axis = torch.arange(size) - (size - 1) / 2
    voxels = torch.cartesian_prod(axis, axis, axis)
    wave = torch.randn(200, 3)
    wave *= math.pi / 2 / wave.norm(dim=1, keepdim=True)
    response = torch.sin(wave @ voxels.T) @ conv.kernel()[:, 0].flatten(1).T
    along = (response * wave).sum(1, keepdim=True) / wave.square().sum(1, keepdim=True)
    exact = along.mean() * wave
    assert (response - exact).norm() < bound * exact.norm()


def test_low_pass_before_a_stride_removes_what_the_coarse_grid_cannot_resolve():
    """Without the low-pass a checkerboard would be a constant on every second voxel."""
    conv = VoxelConvolution("0e", "0e", 3, stride=2)
    index = torch.arange(15)
    checkerboard = (-1.0) ** (index[:, None, None] + index[:, None] + index)
    inside = (slice(None), slice(None), *(slice(2, -2),) * 3)
    flat, rough = (
        conv(field[None, None])[inside].abs().max() for field in (0 * checkerboard + 1, checkerboard)
    )
    assert rough < 1e-4 * flat


def test_output_has_unit_variance_on_white_noise():
    """The variance is 1 up to correlations of the functions of a kernel and fluctuations of few weights."""
    conv = VoxelConvolution("8x0e+8x1o+8x2e", "32x0e+16x1o+16x2e", 5)
    out = conv(torch.randn(1, conv.irreps_in.dim, 9, 9, 9))[:, :, 2:-2, 2:-2, 2:-2]
    for part in out.split([32, 48, 80], dim=1):
        assert 0.7 < part.square().mean() < 1.4


@pytest.mark.parametrize("irreps_in", ["2x0e+1x1o", "9x0e+1x1o"])
def test_gradients_under_transforms_of_torch(irreps_in):
    """The two inputs have channels mixed after the filters, and before them."""
    conv = VoxelConvolution(irreps_in, "1x0e+1x1o", 3)
    fields = torch.randn(3, conv.irreps_in.dim, 4, 4, 4)
    parameters = dict(conv.named_parameters())

    def square(parameters: dict[str, Tensor], field: Tensor) -> Tensor:
        return functional_call(conv, parameters, (field[None],)).square().sum()

    single = vmap(grad(square), (None, 0))(parameters, fields)
    conv(fields).square().sum().backward()
    for name, parameter in conv.named_parameters():
        torch.testing.assert_close(single[name].sum(0), parameter.grad)
    jacobian = jacrev(lambda x: conv(x).sum((2, 3, 4)))(fields[:1])
    assert jacobian.shape == (1, 4, 1, conv.irreps_in.dim, 4, 4, 4)
    torch.autograd.gradcheck(conv, fields[:1, :, :3, :3, :3].requires_grad_(), fast_mode=True)


def test_float32_layer_becomes_an_exact_float64_layer():
    """Unlike the weights, the tables are not rounded to float32."""
    torch.set_default_dtype(torch.float32)
    conv = VoxelConvolution("1x0e+1x2e", "1x2e", 5)
    conv(torch.randn(1, 6, 5, 5, 5))
    conv.double()
    fields = torch.randn(1, 6, 5, 5, 5, dtype=torch.float64)
    for element in list(cube_group())[::7]:
        difference = conv(element.of_field(fields, conv.irreps_in)) - element.of_field(conv(fields), "2e")
        assert difference.norm() < 1e-12 * fields.norm()


def test_invalid_sizes_irreps_and_fields_are_an_error():
    with pytest.raises(ValueError, match="size: expected an odd number of voxels, at least 3, got 4"):
        VoxelConvolution("0e", "0e", 4)
    with pytest.raises(ValueError, match="stride: expected at least 1, got 0"):
        VoxelConvolution("0e", "0e", 3, stride=0)
    with pytest.raises(ValueError, match="no path from 1x0e to 0o"):
        VoxelConvolution("0e", "0o", 3)
    with pytest.raises(ValueError, match="no path from 1x0e to 3o with l <= 2; raise degree"):
        VoxelConvolution("0e", "3o", 5)
    with pytest.raises(ValueError, match=r"expected \(n, 4, depth, rows, columns\) for irreps 1x0e\+1x1o"):
        VoxelConvolution("1x0e+1x1o", "0e", 3)(torch.randn(1, 3, 5, 5, 5))
