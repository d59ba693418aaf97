"""Symmetric contraction: basis against group theory, compiled against plain, equivariance."""

import itertools
import math

import numpy as np
import pytest
import torch
from e3nn import o3
from torch import Tensor

from symnets.nn import ManyBodyProduct
from symnets.ops import SymmetricContraction
from symnets.ops._contraction_plan import symmetric_basis
from symnets.ops._polynomial import FusedPolynomial
from symnets.testing import assert_equivariant
from tests.naive.symmetric_contraction import contraction, invariant_projector, tensors

FEATURES = ["0e+1o+2e", "0e+1o+1e", "1o+1o+0o"]
RESULTS = ["0e", "0o", "1o", "1e", "2e", "3o"]


def multiplicity(irreps: o3.Irreps, degree: int, out: o3.Irrep) -> float:
    """Copies of an irrep in a symmetric power, by the characters of O(3).

    χ of the power follows from χ(R^k) by Newton's identities; the mean over rotations by an angle θ has the
    density (1 - cos θ) / π on [0, π]. The integrand is a polynomial in cos θ: equidistant points are exact.
    """
    angles = (np.arange(64) + 0.5) * np.pi / 64

    def character(ir: o3.Irrep, power: int, sign: int) -> np.ndarray:
        return (ir.p if sign < 0 else 1) ** power * sum(
            np.cos(m * power * angles) for m in range(-ir.l, ir.l + 1)
        )

    total = 0.0
    for sign in (1, -1):
        of_x = [sum(character(ir, k, sign) for _, ir in irreps) for k in range(1, degree + 1)]
        of_powers = [np.ones_like(angles)]
        for d in range(1, degree + 1):
            of_powers.append(sum(of_x[k - 1] * of_powers[d - k] for k in range(1, d + 1)) / d)
        total += np.mean(of_powers[-1] * character(out, 1, sign) * (1 - np.cos(angles))) / 2
    return total


@pytest.mark.parametrize("irreps", [*FEATURES, "0e+1o+2e+3o"])
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_size_of_the_basis_follows_from_characters(irreps, degree):
    for out in RESULTS:
        n_paths = len(symmetric_basis(irreps, degree, out))
        assert n_paths == pytest.approx(multiplicity(o3.Irreps(irreps), degree, o3.Irrep(out)), abs=1e-9)


@pytest.mark.parametrize(
    ("irreps", "degree"), [("0e+1o+2e", 2), ("0e+1o", 3), ("1o+1e", 2), ("2e", 3), ("1o", 4)]
)
def test_basis_spans_the_invariant_symmetric_tensors(irreps, degree):
    irreps, generator = o3.Irreps(irreps), torch.Generator().manual_seed(0)
    for out in (o3.Irrep("0e"), o3.Irrep("1o"), o3.Irrep("1e")):
        u = tensors(symmetric_basis(irreps, degree, out), irreps.dim, degree).flatten(1)
        projector = invariant_projector(irreps, degree, out, generator)
        torch.testing.assert_close(u.mT @ u / out.dim, projector, atol=1e-9, rtol=0)


@pytest.mark.parametrize("irreps", FEATURES)
def test_basis_of_degree_three_is_orthogonal(irreps):
    for out in map(o3.Irrep, RESULTS):
        u = tensors(symmetric_basis(irreps, 3, out), o3.Irreps(irreps).dim, 3).flatten(1)
        torch.testing.assert_close(u @ u.mT, out.dim * torch.eye(len(u), dtype=u.dtype), atol=1e-12, rtol=0)


def test_scalar_polynomials_of_a_vector_and_a_scalar_are_the_known_ones():
    op = SymmetricContraction("1x0e+1x1o", "1x0e", 2)
    x, w = torch.tensor([[2.0, 1.0, -2.0, 3.0]]), torch.tensor([0.5, 0.25, 2.0]).view(1, 3, 1)
    expected = 0.5 * 2 + 0.25 * 4 + 2.0 * 14 / math.sqrt(3)
    assert op(x, w, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-6)


def build(irreps: str, out: str, correlation: int, channels: int, implementation="fused"):
    irreps_in, irreps_out = (
        o3.Irreps([(channels, ir) for _, ir in o3.Irreps(part)]) for part in (irreps, out)
    )
    return SymmetricContraction(irreps_in, irreps_out, correlation, implementation=implementation)


def draw(op: SymmetricContraction, n_nodes: int = 5, dtype: torch.dtype = torch.float64):
    """Random arguments; no node is of species 1."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n_nodes, op.irreps_in.dim, generator=generator, dtype=dtype, requires_grad=True)
    w = torch.randn(3, op.n_paths, op.channels, generator=generator, dtype=dtype, requires_grad=True)
    return x, w, 2 * torch.randint(2, (n_nodes,), generator=generator)


@pytest.mark.parametrize("implementation", ["fused", "plain"])
@pytest.mark.parametrize(("irreps", "out"), [("0e+1o+2e", "0e+1o"), ("1o+1e+0o", "2e+0o")])
def test_equals_contraction_with_tensors(irreps, out, implementation):
    op = build(irreps, out, 3, 2, implementation)
    x, w, species = (a.detach() for a in draw(op))
    result = op(x, w, species).unflatten(1, (-1, 2))
    for node, channel in itertools.product(range(len(x)), range(2)):
        weights, slots = w[species[node], :, channel], []
        for slot in range(len(op.irreps_out)):
            blocks = [block for block in op.plan.blocks if block.slot_out == slot]
            bases = [(block.degree, block.basis) for block in blocks]
            row = x[node].view(-1, 2)[:, channel]
            slots.append(contraction(bases, row, weights[blocks[0].first :]))
        torch.testing.assert_close(result[node, :, channel], torch.cat(slots), rtol=1e-12, atol=1e-12)


def test_degree_two_is_spanned_by_e3nn_tensor_products():
    irreps, generator = o3.Irreps("0e+1o+2e"), torch.Generator().manual_seed(2)
    x = torch.randn(60, irreps.dim, generator=generator, dtype=torch.float64)
    for out in ("0e", "1o", "2e"):
        ours = torch.einsum("nv,nw,pmvw->nmp", x, x, tensors(symmetric_basis(irreps, 2, out), 9, 2))
        pairs = [
            (i, j, 0)
            for i, j in itertools.combinations_with_replacement(range(3), 2)
            if o3.Irrep(out) in irreps[i].ir * irreps[j].ir
        ]
        theirs = []
        for pair in pairs:
            product = o3.TensorProduct(irreps, irreps, out, [(*pair, "uuu", False)]).double()
            theirs.append(product(x, x).detach())
        design = torch.stack(theirs, dim=-1).flatten(0, 1)
        solution = torch.linalg.lstsq(design, ours.flatten(0, 1)).solution
        # e3nn keeps its coefficients in float32 unless told otherwise.
        torch.testing.assert_close(design @ solution, ours.flatten(0, 1), atol=1e-5, rtol=0)
        assert torch.linalg.matrix_rank(solution) == ours.shape[-1] == len(pairs)


def derivatives(op: SymmetricContraction, x: Tensor, w: Tensor, species: Tensor) -> list[Tensor]:
    """Value and gradients of the first three orders."""
    results = [op(x, w, species)]
    weights = torch.sin(torch.arange(results[0].numel(), dtype=x.dtype)).view_as(results[0])
    scalar = (results[0] * weights).sum() + (results[0] ** 2).sum()
    for _ in range(3):
        gradients = torch.autograd.grad(scalar, (x, w), create_graph=True)
        scalar = sum((g**2).sum() for g in gradients)
        results += gradients
    return results


def relative(a: Tensor, b: Tensor) -> float:
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize(
    ("irreps", "out", "correlation", "channels"),
    [("0e+1o+2e", "0e+1o", 3, 11), ("1o+0o", "1e+2e", 2, 8), ("0e+1o", "1o", 1, 3), ("0e+1o", "0e", 4, 1)],
)
def test_fused_equals_plain_to_third_derivatives(irreps, out, correlation, channels):
    fused, plain = (build(irreps, out, correlation, channels, name) for name in ("fused", "plain"))
    arguments = draw(fused)
    pairs = zip(derivatives(fused, *arguments), derivatives(plain, *arguments), strict=True)
    assert max(relative(a, b) for a, b in pairs) < 1e-12


def test_forces_alone_need_no_derivative_of_the_coefficients(monkeypatch):
    """dF/dC, for the gradient in the weights, is computed where the weights are differentiated."""
    places, partial = [], FusedPolynomial._partial

    def counted(self, place, *arguments):
        places.append(place)
        return partial(self, place, *arguments)

    monkeypatch.setattr(FusedPolynomial, "_partial", counted)
    op = build("0e+1o", "0e", 2, 3)
    x, w, species = draw(op)
    energy = op(2 * x, w, species).sum()
    torch.autograd.grad(energy, x, retain_graph=True)
    by_g, by_c, by_x = range(3)
    assert places == [by_g, by_x]
    torch.autograd.grad(energy, (x, w))
    assert places == [by_g, by_x, by_c, by_x]


def test_skipping_unneeded_derivatives_does_not_change_the_others():
    op = build("0e+1o", "0e+1o", 2, 3)
    x, w, species = draw(op)

    def second(first: list[Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...]:
        gradients = torch.autograd.grad((op(x, w, species) ** 2).sum(), first, create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in gradients), inputs)

    for first in ([x], [w], [x, w]):
        for one, both in zip((x, w), second(first, [x, w]), strict=True):
            assert relative(second(first, [one])[0], both) < 1e-12


def test_fused_equals_plain_in_float32():
    fused, plain = (build("0e+1o+2e", "0e+1o", 3, 16, name) for name in ("fused", "plain"))
    x, w, species = draw(fused, n_nodes=20, dtype=torch.float32)
    assert relative(fused(x, w, species), plain(x, w, species)) < 1e-5


def test_gradients_of_first_and_second_order_are_finite_differences():
    op = build("0e+1o", "0e+1o", 3, 2)
    x, w, species = draw(op, n_nodes=2)
    assert torch.autograd.gradcheck(lambda x, w: op(x, w, species), (x, w))
    assert torch.autograd.gradgradcheck(lambda x, w: op(x, w, species), (x, w))


@pytest.mark.parametrize("implementation", ["fused", "plain"])
def test_equivariance_under_rotations_and_inversion(implementation):
    op = build("0e+1o+2e+1e", "0e+1o+2e+0o", 3, 3, implementation)
    _, w, species = draw(op)
    assert_equivariant(lambda x: op(x, w, species), op.irreps_in, op.irreps_out)


def only_degree(op: SymmetricContraction, w: Tensor, degree: int) -> Tensor:
    """Weights of the paths of one degree, the others zero."""
    kept = torch.zeros_like(w)
    for block in op.plan.blocks:
        if block.degree == degree:
            here = slice(block.first, block.first + len(block.basis))
            kept[:, here] = w.detach()[:, here]
    return kept


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_each_degree_is_homogeneous_and_symmetric_in_its_arguments(degree):
    op = build("0e+1o+2e", "0e+1o", 3, 4)
    x, w, species = draw(op)
    w = only_degree(op, w, degree)
    value = op(x, w, species)
    torch.testing.assert_close(op(-1.5 * x, w, species), (-1.5) ** degree * value)
    # Euler: the derivative along x itself counts the degree, and all of them give ν! times the value.
    along = value
    for _ in range(degree):
        cotangent = torch.zeros_like(along, requires_grad=True)
        (gradient,) = torch.autograd.grad(along, x, cotangent, create_graph=True)
        (along,) = torch.autograd.grad(gradient, cotangent, x.detach(), create_graph=True)
    torch.testing.assert_close(along, math.factorial(degree) * value)


def test_weights_are_those_of_the_species():
    op = build("0e+1o", "0e+1o", 2, 3)
    x, w, species = draw(op)
    together = op(x, w, species)
    for node in range(len(x)):
        alone = op(x[node : node + 1], w[species[node]][None], torch.zeros(1, dtype=torch.int64))
        torch.testing.assert_close(together[node], alone[0])
    (gradient,) = torch.autograd.grad(together.sum(), w)
    assert not gradient[1].any()  # no node is of this species


def test_threads_do_not_change_the_result():
    op = build("0e+1o+2e", "0e+1o", 3, 64)
    x, w, species = draw(op, n_nodes=600)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            out = op(x, w, species)
            results.append([out, *torch.autograd.grad((out**2).sum(), (x, w))])
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("implementation", ["fused", "plain"])
def test_no_nodes_give_no_rows(implementation):
    op = build("0e+1o", "0e+1o", 2, 3, implementation)
    x, w, species = draw(op, n_nodes=0)
    out = op(x, w, species)
    assert out.shape == (0, op.irreps_out.dim)
    (gradient,) = torch.autograd.grad(out.sum(), w)
    assert not gradient.any()


def test_torch_func_uses_the_plain_implementation():
    op = build("0e+1o", "0e", 2, 2, "auto")
    x, w, species = (a.detach() for a in draw(op))
    _, tangent = torch.func.jvp(lambda w: op(x, w, species), (w,), (w,))
    assert relative(tangent, op(x, w, species)) < 1e-12  # linear in the weights


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="same number of channels in every irrep"):
        SymmetricContraction("2x0e+1x1o", "2x0e", 2)
    with pytest.raises(ValueError, match="output irrep 0o is in no product of up to 2 features"):
        SymmetricContraction("2x0e+2x1o", "2x0o", 2)
    op = build("0e+1o", "0e", 2, 2)
    x, w, species = draw(op)
    with pytest.raises(ValueError, match=r"weights: expected shape \(3, 3, 2\)"):
        op(x, w[:, :-1], species)
    with pytest.raises(ValueError, match="species: expected 0 to 1, got 0 to 2"):
        op(x, w[:2], species)


def test_initial_outputs_of_the_layer_are_of_order_one():
    torch.manual_seed(0)
    layer = ManyBodyProduct("32x0e+32x1o+32x2e", "32x0e+32x1o", 3, 2)
    out = layer(torch.randn(200, layer.irreps_in.dim), torch.arange(200) % 2)
    assert 0.5 < out.var() < 4
    out.sum().backward()
    assert layer.weights.grad is not None
    assert layer.weights.grad.any()


def test_autocast_does_not_affect_the_compiled_loops():
    contraction = SymmetricContraction("4x0e+4x1o", "4x0e", 2)
    features = torch.randn(5, 16, requires_grad=True)
    weights = torch.randn(2, contraction.n_paths, 4, requires_grad=True)
    species = torch.tensor([0, 1, 1, 0, 1])
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", enabled=enabled):
            out = contraction(features, weights, species)
        results.append([out, *torch.autograd.grad(out.square().sum(), [features, weights])])
    torch.testing.assert_close(*results)
    with pytest.raises(ValueError, match="implementation"):
        SymmetricContraction("4x0e", "4x0e", 2, implementation="Fused")  # type: ignore[arg-type]
