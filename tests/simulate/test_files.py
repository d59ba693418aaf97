import ase.io
import numpy as np
import pytest

from symnets.simulate._files import snapshot, write_structure


def test_a_snapshot_drops_other_arrays_and_info(cluster):
    cluster.info["REF_energy"] = -1.0
    cluster.set_array("REF_forces", np.zeros((len(cluster), 3)))
    frame = snapshot(cluster, step=3)
    assert frame.info == {"step": 3}
    assert set(frame.arrays) == {"numbers", "positions"}
    assert frame == cluster


def test_a_structure_is_written_atomically(tmp_path, cluster, monkeypatch):
    def fail(path, atoms, **options):
        path.write_text("half of")
        raise OSError("no space left on device")

    path = tmp_path / "end.xyz"
    path.write_text("before")
    monkeypatch.setattr(ase.io, "write", fail)
    with pytest.raises(OSError, match="no space"):
        write_structure(cluster, path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["end.xyz"]
