"""Images from NumPy files: no code is executed, and sizes are checked before memory is allocated."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from symnets.data import _image_files as array_module
from symnets.data import read_image_array

IMAGES = np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("name", ["1.npy", "1.npz", "several.npz"])
def test_arrays_are_read_unchanged(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "1.npy":
        np.save(path, IMAGES)
    elif name == "1.npz":
        np.savez_compressed(path, IMAGES)
    else:
        np.savez(path, labels=np.arange(5), images=IMAGES)
    np.testing.assert_array_equal(read_image_array(path), IMAGES)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (IMAGES[:, 0], "if there are no channels"),
        (np.zeros((5, 32, 32, 3)), "the channels come last"),
        (np.zeros((5, 64)), "expected shape"),
        (np.zeros((0, 1, 8, 8)), "the array is empty"),
        (np.zeros((5, 1, 8, 8), complex), "unsigned integers or floats, got complex128"),
        (
            np.zeros((5, 1, 8, 8), np.int64),
            r"got int64; if they are 0 to 255, save array.astype\(numpy.uint8\)",
        ),
        (np.array([["a"]]), "unsigned integers or floats"),
    ],
)
def test_other_arrays_than_images_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "1.npy", array)
    with pytest.raises(ValueError, match=message):
        read_image_array(tmp_path / "1.npy")


class Hostile:
    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was executed",))


def test_pickles_are_not_executed(tmp_path: Path) -> None:
    np.save(tmp_path / "object.npy", np.array([Hostile()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "object.npz", images=np.array([Hostile()], dtype=object))
    for name in ("bare.npy", "bare.npz"):
        (tmp_path / name).write_bytes(pickle.dumps(Hostile()))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ValueError, match=r"\.np[yz]: not "):
            read_image_array(path)


@pytest.mark.parametrize("name", ["1.npy", "1.npz"])
def test_truncated_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    np.save(path, IMAGES) if name.endswith("y") else np.savez_compressed(path, images=IMAGES)
    whole = path.read_bytes()
    for keep in (0, 3, 40, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:keep])
        with pytest.raises(ValueError, match="not a"):
            read_image_array(path)


def test_a_header_with_a_huge_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"shape": (10**9, 3, 224, 224), "fortran_order": False, "descr": "<f4"}
    )
    with zipfile.ZipFile(tmp_path / "1.npz", "w") as archive:
        archive.writestr("images.npy", stream.getvalue())
    with pytest.raises(ValueError, match="bytes, more than the"):
        read_image_array(tmp_path / "1.npz")
    np.savez(tmp_path / "2.npz", IMAGES)
    monkeypatch.setattr(array_module, "LARGEST", 100)
    with pytest.raises(ValueError, match="has 1,280 bytes, more than the 100 allowed"):
        read_image_array(tmp_path / "2.npz")


def test_one_of_several_arrays_needs_a_known_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "1.npz", a=IMAGES, b=IMAGES)
    with pytest.raises(ValueError, match="one named images, x, x_test; got a, b"):
        read_image_array(tmp_path / "1.npz")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_image_array(tmp_path / "2.npz")
