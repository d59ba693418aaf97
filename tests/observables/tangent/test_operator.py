"""Products of tangent kernels with vectors against the kernel."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh

from symnets.models import ForceField
from symnets.observables import TangentKernelOperator, tangent_kernel
from tests.observables.tangent.test_any_module import bilinear, molecules, potential
from tests.observables.tangent.test_closed_form import X1, X2, dense, draw


@pytest.mark.parametrize(("outputs", "chunk"), [("full", 5), ("full", 100), ("trace", 5), ("sum", 100)])
@pytest.mark.parametrize("net", [dense(d_out=3), dense(), bilinear(3)], ids=["dense", "scalar", "module"])
def test_products_are_those_of_the_kernel(net, outputs: str, chunk: int) -> None:
    for x2 in (None, X2):
        kernel = tangent_kernel(net, X1, x2, outputs=outputs)
        matrix = kernel if kernel.ndim == 2 else kernel.transpose(1, 2).flatten(2).flatten(0, 1)
        operator = TangentKernelOperator(net, X1, x2, outputs=outputs, chunk=chunk)
        vectors, left = draw(matrix.shape[1], 2), draw(len(matrix), seed=1)
        torch.testing.assert_close(operator @ vectors, matrix @ vectors)
        torch.testing.assert_close(operator.T @ left, matrix.T @ left)
        np.testing.assert_allclose(operator @ vectors[:, 0].numpy(), (matrix @ vectors[:, 0]).numpy())


def test_largest_eigenvalues() -> None:
    net = dense(activation="relu")
    exact = torch.linalg.eigvalsh(tangent_kernel(net, X1))[-3:].numpy()
    np.testing.assert_allclose(np.sort(eigsh(TangentKernelOperator(net, X1), 3)[0]), exact, rtol=1e-8)


def test_the_operator_keeps_the_weights_it_was_made_with() -> None:
    net = dense()
    operator, kernel = TangentKernelOperator(net, X1, chunk=4), tangent_kernel(net, X1)
    net.weights[0].data.mul_(2)
    torch.testing.assert_close(operator @ torch.eye(9, dtype=torch.float64), kernel)


def test_energies_of_a_potential() -> None:
    model, graph = potential(), molecules("CH4", "H2O", "CO2")
    vector = draw(3)
    operator = TangentKernelOperator(ForceField(model).eval(), graph, chunk=2)
    torch.testing.assert_close(operator @ vector, tangent_kernel(model, graph) @ vector)


def test_members_and_wrong_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got members; take model.member\(s\)"):
        TangentKernelOperator(dense(members=2), X1)
    with pytest.raises(ValueError, match=r"expected shape \(5,\) or \(5, k\), got \(9,\)"):
        TangentKernelOperator(dense(), X1, X2) @ draw(9)
