import gzip
import struct

import numpy as np
import pytest

from symnets.data import read_idx
from tests.data.images.files import idx_bytes

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_round_trip(tmp_path, pack):
    """Compressed or not, independent of the file name."""
    path = tmp_path / "images"
    path.write_bytes(pack(idx_bytes(IMAGES)))
    np.testing.assert_array_equal(read_idx(path, 3).numpy(), IMAGES)


def test_the_header_is_the_published_one(tmp_path):
    """Magic number 2051 for images and 2049 for labels, most significant byte first."""
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">4I", 2051, 1, 1, 2) + b"\x05\x06")
    assert read_idx(path, 3).tolist() == [[[5, 6]]]
    path.write_bytes(struct.pack(">2I", 2049, 3) + b"\x07\x08\x09")
    assert read_idx(path, 1).tolist() == [7, 8, 9]


def test_files_without_images(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(IMAGES[:0]))
    assert read_idx(path, 3).shape == (0, 3, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\x00\x00", "got 00 00"),
        (idx_bytes(IMAGES)[:9], "ends within its header"),
        (idx_bytes(IMAGES)[:-1], "says .*24 bytes, but there are only 23"),
        (idx_bytes(IMAGES) + b"\x00", "24 bytes, but there are more"),
        (b"\x00\x00\x0d\x03" + idx_bytes(IMAGES)[4:], "begins with 00 00 08 03; got 00 00 0d 03"),
        (idx_bytes(IMAGES[0]), "got 00 00 08 02"),
        (b"<html>not found</html>", "IDX file"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "more than the 1073741824 bytes allowed"),
    ],
    ids=["empty", "stub", "header", "short", "long", "floats", "dimensions", "html", "huge"],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_other_content_is_refused(tmp_path, pack, content, message):
    path = tmp_path / "images"
    path.write_bytes(pack(content))
    with pytest.raises(ValueError, match=rf"(?s){path}: .*{message}"):
        read_idx(path, 3)


@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: packed[:30] + b"\xff" * 30])
def test_damaged_gzip_is_refused(tmp_path, damage):
    path = tmp_path / "images.gz"
    noise = np.random.default_rng(0).integers(0, 256, (10, 8, 8))
    path.write_bytes(damage(gzip.compress(idx_bytes(noise))))
    with pytest.raises(ValueError, match="damaged or truncated"):
        read_idx(path, 3)


def test_a_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    """At most one buffer is decompressed of 300 MB of zeros that follow a header for 24 bytes."""
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(idx_bytes(IMAGES))
        for _ in range(300):
            file.write(bytes(10**6))
    unpacked = []
    original = gzip.GzipFile.read

    def counted(self, size=-1):
        unpacked.append(size)
        return original(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    with pytest.raises(ValueError, match="but there are more"):
        read_idx(path, 3)
    assert min(unpacked) >= 0  # never -1, which reads everything
    assert sum(unpacked) == 4 + 12 + 24 + 1


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing", 3)
