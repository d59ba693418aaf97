"""CIFAR-10's binary format, from files and from the archive."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from symnets.data import _image_formats as cifar
from symnets.data import read_cifar, read_cifar_archive
from tests.data.images.files import cifar_bytes

BATCH = "data_batch_1.bin"


def archive(path: Path, members: dict[str, bytes]) -> Path:
    """A compressed archive of files."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_a_record_is_a_label_and_three_colour_planes(tmp_path):
    """Red, then green, then blue, row by row."""
    planes = bytes([10]) * 1024 + bytes([20]) * 1024 + bytes(range(32)) * 31 + bytes([255] * 32)
    (tmp_path / BATCH).write_bytes(bytes([7]) + planes)
    pixels, labels = read_cifar([tmp_path / BATCH])
    assert labels.tolist() == [7]
    assert pixels.shape == (1, 3, 32, 32)
    assert (pixels[0, 0] == 10).all()
    assert (pixels[0, 1] == 20).all()
    assert pixels[0, 2, 3].tolist() == list(range(32))
    assert (pixels[0, 2, 31] == 255).all()


def test_files_are_concatenated_and_the_archive_gives_the_same(tmp_path):
    parts = {f"data_batch_{k}.bin": cifar_bytes(k, seed=k) for k in (1, 2, 3)}
    for name, content in parts.items():
        (tmp_path / name).write_bytes(content)
    pixels, labels = read_cifar([tmp_path / name for name in parts])
    assert labels.tolist() == [0, 0, 1, 0, 1, 2]
    packed = archive(
        tmp_path / "cifar-10-binary.tar.gz",
        {"cifar-10-batches-bin/readme.html": b"hello"}
        | {f"cifar-10-batches-bin/{name}": content for name, content in parts.items()},
    )
    from_archive, again = read_cifar_archive(packed, list(parts))
    np.testing.assert_array_equal(from_archive.numpy(), pixels.numpy())
    assert again.tolist() == labels.tolist()


@pytest.mark.parametrize("content", [b"", cifar_bytes(2)[:-1], cifar_bytes(1) + b"\x00"])
def test_incomplete_records_are_refused(tmp_path, content):
    (tmp_path / BATCH).write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"{BATCH}: expected records of 3073 bytes.*got {len(content)} bytes"
    ):
        read_cifar([tmp_path / BATCH])


@pytest.mark.parametrize("name", ["../outside.bin", "/etc/outside.bin", "cifar-10-batches-bin/../../x"])
def test_an_archive_with_members_outside_of_its_folder_is_refused(tmp_path, name):
    content = {f"cifar-10-batches-bin/{BATCH}": cifar_bytes(1), name: b"x"}
    path = archive(tmp_path / "cifar.tar.gz", content)
    with pytest.raises(ValueError, match="points outside of the archive"):
        read_cifar_archive(path, [BATCH])
    assert [file.name for file in tmp_path.iterdir()] == ["cifar.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_not_a_file_is_refused(tmp_path, kind):
    """Also a link to a file of the archive; the official archive has none."""
    path = tmp_path / "cifar.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        real = tarfile.TarInfo("cifar-10-batches-bin/real.bin")
        real.size = 3073
        tar.addfile(real, io.BytesIO(cifar_bytes(1)))
        link = tarfile.TarInfo(f"cifar-10-batches-bin/{BATCH}")
        link.type, link.linkname = kind, "real.bin"
        tar.addfile(link)
    with pytest.raises(ValueError, match=f"contains no file cifar-10-batches-bin/{BATCH}"):
        read_cifar_archive(path, [BATCH])


def test_the_error_lists_the_members_of_an_archive_without_the_file(tmp_path):
    path = archive(tmp_path / "cifar.tar.gz", {f"other/{BATCH}": cifar_bytes(1)})
    with pytest.raises(ValueError, match=rf"contains no file.*but \['other/{BATCH}'\]"):
        read_cifar_archive(path, [BATCH])


@pytest.mark.parametrize("damage", [slice(None, 600), slice(20, None)])
def test_a_damaged_archive_is_refused(tmp_path, damage):
    path = archive(tmp_path / "cifar.tar.gz", {f"cifar-10-batches-bin/{BATCH}": cifar_bytes(3)})
    path.write_bytes(path.read_bytes()[damage])
    with pytest.raises(ValueError, match=r"damaged or truncated|not a complete tar"):
        read_cifar_archive(path, [BATCH])


def test_a_truncated_tar_is_refused(tmp_path):
    path = archive(tmp_path / "cifar.tar.gz", {f"cifar-10-batches-bin/{BATCH}": cifar_bytes(3)})
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:4000]))
    with pytest.raises(ValueError, match=str(path)):
        read_cifar_archive(path, [BATCH])


def test_an_archive_that_is_too_large_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "LARGEST_ARCHIVE", 10_000)
    path = archive(tmp_path / "cifar.tar.gz", {f"cifar-10-batches-bin/{BATCH}": cifar_bytes(4)})
    with pytest.raises(ValueError, match="decompresses to more than 10000 bytes"):
        read_cifar_archive(path, [BATCH])


@pytest.mark.slow
def test_the_jpeg_copy_converts_to_the_binary_format(tmp_path):
    """Real data, if available: 60,000 balanced images, with plausible mean colours of classes."""
    script = Path(os.environ.get("SYMNETS_DATA", "."), "cifar10", "to_binary.py")
    if not script.is_file():
        pytest.skip("CIFAR-10 is not in SYMNETS_DATA")
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    pixels, labels = read_cifar([tmp_path / f"data_batch_{k}.bin" for k in range(1, 6)])
    assert labels.bincount().tolist() == [5000] * 10
    blue = pixels[:, 2].float().mean((1, 2)) - pixels[:, 0].float().mean((1, 2))
    # Images of airplanes and ships are bluer than those of frogs and deer.
    assert blue[(labels == 0) | (labels == 8)].mean() > 10 + blue[(labels == 4) | (labels == 6)].mean()
