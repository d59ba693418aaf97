"""Images from PNG and JPEG files, and damaged files."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from symnets.data import _image_files as folder_module
from symnets.data import image_files, read_image_files

RNG = np.random.default_rng(0)


def saved(path: Path, shape: tuple[int, ...] = (10, 12, 3), **options: object) -> np.ndarray:
    """Write an image of random pixels and return the pixels."""
    pixels = RNG.integers(0, 256, shape).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def test_files_of_subfolders_are_sorted(tmp_path: Path) -> None:
    hidden = ("a/._1.JPG", ".trash/4.png", "__MACOSX/._3.jpeg")  # as macOS writes them
    for name in ("b/2.png", "a/1.JPG", "a/notes.txt", "3.jpeg", ".DS_Store", *hidden):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in image_files(tmp_path)] == ["3.jpeg", "1.JPG", "2.png"]


def test_png_pixels_are_exact(tmp_path: Path) -> None:
    pixels = [saved(tmp_path / f"{k}.png") for k in range(3)]
    images = read_image_files(image_files(tmp_path))
    assert images.shape == (3, 3, 10, 12)
    np.testing.assert_array_equal(images.movedim(1, -1).numpy(), np.stack(pixels))


def test_grey_files_have_one_channel_by_default(tmp_path: Path) -> None:
    pixels = saved(tmp_path / "1.png", (8, 8))
    paths = image_files(tmp_path)
    np.testing.assert_array_equal(read_image_files(paths)[0, 0].numpy(), pixels)
    np.testing.assert_array_equal(read_image_files(paths, channels=3)[0, 2].numpy(), pixels)


def test_one_colour_file_gives_three_channels_for_all(tmp_path: Path) -> None:
    grey = saved(tmp_path / "1.png", (8, 8))
    saved(tmp_path / "2.png", (8, 8, 3))
    images = read_image_files(image_files(tmp_path))
    assert images.shape == (2, 3, 8, 8)
    np.testing.assert_array_equal(images[0, 1].numpy(), grey)


def test_size_crops_the_central_square(tmp_path: Path) -> None:
    """Left and right thirds are black, the middle is white: only white remains, up to the filter's width."""
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 10:20] = 255
    Image.fromarray(pixels).save(tmp_path / "1.png")
    images = read_image_files(image_files(tmp_path), size=5)
    assert images.shape == (1, 1, 5, 5)
    assert (images[..., 1:-1] == 255).all()
    assert (images > 200).all()


def test_images_are_rotated_by_their_exif_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees: rows become columns
    saved(tmp_path / "1.jpg", (8, 16, 3), exif=exif)
    assert read_image_files(image_files(tmp_path)).shape == (1, 3, 16, 8)


def test_sizes_must_agree(tmp_path: Path) -> None:
    saved(tmp_path / "1.png", (8, 8))
    saved(tmp_path / "2.png", (8, 9))
    with pytest.raises(ValueError, match=r"2.png: 8 x 9 pixels, but 1.png has 8 x 8; pass a size"):
        read_image_files(image_files(tmp_path))


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_every_truncation_is_an_error(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"1.{ending}"
    saved(path)
    whole = path.read_bytes()
    for keep in range(0, len(whole) - 30, 7):  # the last bytes of a PNG are checksums, which pixels can miss
        path.write_bytes(whole[:keep])
        with pytest.raises(ValueError, match="not a complete PNG or JPEG"):
            read_image_files([path])


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of corrupt EXIF
def test_altered_bytes_give_an_image_or_an_error(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"1.{ending}"
    exif = Image.Exif()
    exif[0x0112] = 6
    saved(path, exif=exif)
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    for _ in range(300):
        altered = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 200), 3):
            altered[place] = rng.integers(256)
        path.write_bytes(altered)
        try:
            assert read_image_files([path], size=4).shape[2:] == (4, 4)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017


def bomb(rows: int, columns: int) -> bytes:
    """A small PNG file whose header declares a given size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(9000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("sides", [(9_000, 9_000), (20_000, 20_000), (1, 70_000_000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bombs_are_not_decoded(tmp_path: Path, sides: tuple[int, int]) -> None:
    (tmp_path / "1.png").write_bytes(bomb(*sides))
    with pytest.raises(ValueError, match="larger than 64,000,000 pixels"):
        read_image_files(image_files(tmp_path), size=8)


def test_other_formats_are_refused_for_any_file_name(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "1.png", format="BMP")
    with pytest.raises(ValueError, match="not a complete PNG or JPEG"):
        read_image_files(image_files(tmp_path))


def test_images_of_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 60_000, np.uint16)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="expected 8 bits a channel"):
        read_image_files(image_files(tmp_path))


def test_the_total_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "LARGEST_BATCH", 100)
    for k in range(2):
        saved(tmp_path / f"{k}.png", (8, 8))
    with pytest.raises(ValueError, match="more than 100 bytes"):
        read_image_files(image_files(tmp_path))
    with pytest.raises(ValueError, match="do not fit"):
        read_image_files(image_files(tmp_path), size=100)


def test_missing_folders_and_files_and_invalid_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        image_files(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"ending in .png, .jpg, .jpeg, found none"):
        image_files(tmp_path)
    for wrong, message in (
        ({}, "paths: expected at least one, got none"),
        ({"channels": 4}, "channels: expected 1"),
        ({"size": 0}, "size: expected at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            read_image_files([], **wrong)
