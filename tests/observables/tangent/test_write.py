"""Tangent kernels on disk: equal to those in memory, and resumed after a kill."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from symnets.observables import tangent_kernel, write_tangent_kernel
from symnets.observables._tangent_kernel import _write
from tests.observables.tangent.test_any_module import bilinear, molecules, potential
from tests.observables.tangent.test_closed_form import X1, X2, dense


def written(path: Path, *arguments, **options) -> np.ndarray:
    return write_tangent_kernel(path, *arguments, block=4, progress=False, **options)


@pytest.mark.parametrize(
    ("net", "outputs"),
    [
        (dense(d_out=2), "full"),
        (dense(d_out=2), "sum"),
        (dense(members=2, d_out=2), "full"),
        (bilinear(2), "trace"),
    ],
)
def test_the_file_is_the_kernel(net: nn.Module, outputs: str, tmp_path: Path) -> None:
    for name, x2 in (("one.npy", None), ("two.npy", X2)):
        kernel = written(tmp_path / name, net, X1, x2, outputs=outputs)
        np.testing.assert_allclose(kernel, tangent_kernel(net, X1, x2, outputs=outputs), rtol=1e-12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npy", "two.npy"]


def test_own_points_of_members_memory_mapped_points_and_graphs(tmp_path: Path) -> None:
    net, own = dense(members=2), torch.stack([X1, -X1])
    np.testing.assert_allclose(written(tmp_path / "own.npy", net, own), tangent_kernel(net, own), rtol=1e-12)
    np.save(tmp_path / "x.npy", X1.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = written(tmp_path / "mapped.npy", dense(), mapped)
    np.testing.assert_allclose(found, tangent_kernel(dense(), X1), rtol=1e-12)
    model, graphs = potential(), molecules("CH4", "H2O", "CO2", "C2H2", "CH3OH")
    found = written(tmp_path / "graphs.npy", model, graphs)
    np.testing.assert_allclose(found, tangent_kernel(model, graphs), rtol=1e-10)


def killed_after(n: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Interrupts the computation in block n + 1; returns the list of blocks that are computed from now on."""
    sizes: list[tuple[int, int]] = []
    compute = tangent_kernel

    def counted(model, x1, x2=None, **options):
        sizes.append((len(x1), len(x1 if x2 is None else x2)))
        if len(sizes) == n + 2:  # after the first entry, from which shape and dtype follow
            raise KeyboardInterrupt
        return compute(model, x1, x2, **options)

    monkeypatch.setattr(_write, "tangent_kernel", counted)
    return sizes


def test_a_killed_call_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, net = tmp_path / "kernel.npy", dense()
    sizes = killed_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        written(path, net, X1)
    assert not path.exists()
    assert (tmp_path / "kernel.npy.part").exists()
    sizes.clear()
    monkeypatch.setattr(_write, "tangent_kernel", tangent_kernel)
    sizes = killed_after(99, monkeypatch)
    kernel = written(path, net, X1)
    assert (
        len(sizes) == 1 + 6 - 2
    )  # 9 points in blocks of 4: 6 pairs of blocks in one half, of which 2 were done
    np.testing.assert_allclose(kernel, tangent_kernel(net, X1), rtol=1e-12)
    assert [each.name for each in tmp_path.iterdir()] == ["kernel.npy"]


def test_an_unfinished_file_of_another_kernel_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, net, other = tmp_path / "kernel.npy", dense(), dense(activation="relu")
    killed_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        written(path, net, X1)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="unfinished file of another kernel"):
        written(path, other, X1)  # equal weights, another function
    for x, options in ((-X1, {}), (X1, {"outputs": "sum"})):
        with pytest.raises(ValueError, match="unfinished file of another kernel"):
            written(path, net, x, **options)
    kernel = written(path, other, X1, overwrite=True)
    np.testing.assert_allclose(kernel, tangent_kernel(other, X1), rtol=1e-12)
    with pytest.raises(ValueError, match="the file exists"):
        written(path, other, X1)


def test_layers_whose_outputs_depend_on_the_block_are_refused(tmp_path: Path) -> None:
    net = bilinear(1, nn.BatchNorm1d(5).double())
    with pytest.raises(ValueError, match=r"change \(BatchNorm1d\) is in training mode"):
        written(tmp_path / "kernel.npy", net, X1)
    assert written(tmp_path / "kernel.npy", net.eval(), X1).shape == (9, 9)
