"""Image data sets by name: location of the files, and errors for missing ones."""

import gzip
import inspect
import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from symnets.data import load_images
from symnets.data._published_images import CIFAR10, IDX
from tests.data.images.files import cifar_bytes, idx_bytes, write_idx_set
from tests.data.images.test_cifar import archive

load = import_module("symnets.data._images")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder as SYMNETS_DATA, an empty cache, and no network."""
    monkeypatch.setenv("SYMNETS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def offline(published, folder):
        raise OSError(f"asked for {published.url} into {folder}")

    monkeypatch.setattr(load, "download", offline)
    return tmp_path / "data"


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_files_in_symnets_data(here, name):
    write_idx_set(here / name, n_train=20, n_test=10)
    train, test, whole = (load_images(name, split) for split in ("train", "test", "all"))
    assert train.pixels.shape == (20, 1, 28, 28)
    assert test.labels.tolist() == list(range(10))
    assert torch.equal(whole.pixels, torch.cat([train.pixels, test.pixels]))
    assert len(whole.classes) == 10
    assert whole.name == name


def test_idx_files_may_be_uncompressed(here):
    write_idx_set(here / "mnist", n_train=20, n_test=10)
    packed = load_images("mnist", "all")
    for path in list((here / "mnist").iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert torch.equal(load_images("mnist", "all").pixels, packed.pixels)


def test_a_part_needs_only_its_own_files(here):
    write_idx_set(here / "mnist", n_train=20, n_test=10)
    (here / "mnist" / "train-images-idx3-ubyte.gz").unlink()
    assert len(load_images("mnist", "test")) == 10
    with pytest.raises(FileNotFoundError, match=r"neither train-images-idx3-ubyte.gz nor .*ubyte in .*mnist"):
        load_images("mnist", "train")


def test_numbers_of_images_and_labels_and_the_size_are_checked(here):
    write_idx_set(here / "mnist", n_train=20, n_test=10)
    labels = here / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(idx_bytes(np.zeros(9)))
    with pytest.raises(ValueError, match=r"has 10 images, but .* has 9 labels"):
        load_images("mnist", "test")
    (here / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(idx_bytes(np.zeros((9, 28, 27))))
    with pytest.raises(ValueError, match="28 x 28"):
        load_images("mnist", "test")


def test_without_a_folder_the_published_files_are_downloaded(here, monkeypatch):
    """Without files in SYMNETS_DATA the four files are downloaded to the cache."""
    write_idx_set(here / "elsewhere", n_train=20, n_test=10)
    asked = []

    def fetched(published, folder):
        asked.append(published)
        assert folder == load.cache() / "mnist"
        return here / "elsewhere" / published.file

    monkeypatch.setattr(load, "download", fetched)
    assert len(load_images("mnist", "all")) == 30
    assert asked == [file for pair in IDX["mnist"].values() for file in pair]


def write_batches(folder: Path) -> None:
    folder.mkdir(parents=True)
    for k in range(1, 6):
        (folder / f"data_batch_{k}.bin").write_bytes(cifar_bytes(2, seed=k))
    (folder / "test_batch.bin").write_bytes(cifar_bytes(3, seed=6))


def test_single_cifar_files_in_the_cache_are_not_used(here):
    """They have no known checksum; the archive, which has one, is downloaded."""
    write_batches(here.parent / "cache/symnets/cifar10")
    with pytest.raises(OSError, match=r"asked for .*cifar-10-binary\.tar\.gz"):
        load_images("cifar10")
    (here / "cifar10").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"data_batch_1\.bin"):
        load_images("cifar10")


@pytest.mark.parametrize("place", ["data/cifar10", "data/cifar10/cifar-10-batches-bin"])
def test_cifar_in_the_binary_format(here, place):
    """In the folder itself, or in the folder of the official archive."""
    write_batches(here.parent / place)
    train, test = load_images("cifar10"), load_images("cifar10", "test")
    assert train.labels.tolist() == [0, 1] * 5
    assert len(test) == 3
    assert test.classes[:3] == ("airplane", "automobile", "bird")


def test_cifar_archive_in_symnets_data(here):
    (here / "cifar10").mkdir(parents=True)
    members = {"cifar-10-batches-bin/test_batch.bin": cifar_bytes(4)}
    archive(here / "cifar10" / CIFAR10.file, members)
    assert load_images("cifar10", "test").labels.tolist() == [0, 1, 2, 3]


def test_cifar_is_downloaded_as_the_archive(here, monkeypatch):
    here.mkdir()
    packed = archive(here / "x.tar.gz", {"cifar-10-batches-bin/test_batch.bin": cifar_bytes(4)})
    monkeypatch.setattr(load, "download", lambda published, folder: packed)
    assert len(load_images("cifar10", "test")) == 4


def test_the_error_for_missing_cifar_files_says_how_to_create_them(here):
    (here / "cifar10").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"test_batch\.bin not found in .*cifar-10-binary\.tar\.gz"):
        load_images("cifar10", "test")
    (here / "cifar10" / "to_binary.py").touch()
    with pytest.raises(FileNotFoundError, match=r"create them by python .*to_binary\.py .*data.cifar10$"):
        load_images("cifar10", "test")


def test_a_cifar_label_above_nine_is_refused(here):
    write_batches(here / "cifar10")
    (here / "cifar10" / "test_batch.bin").write_bytes(bytes([11]) + bytes(3072))
    with pytest.raises(ValueError, match="label 11 of image 0 is not a class"):
        load_images("cifar10", "test")


@pytest.mark.parametrize(
    ("name", "near"), [("minst", "mnist"), ("CIFAR-10", "cifar10"), ("Fashion", "fashion")]
)
def test_the_error_for_an_unknown_name_suggests_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"unknown data set {name!r}; did you mean '{near}"):
        load_images(name)


def test_the_error_for_an_unknown_name_lists_all():
    with pytest.raises(ValueError, match="Valid: digits, mnist, fashion-mnist, cifar10"):
        load_images("imagenet")
    with pytest.raises(ValueError, match="split"):  # unwrap: without the type checks of the tests
        inspect.unwrap(load_images)("digits", "validation")


@pytest.mark.skipif(
    not Path(os.environ.get("SYMNETS_DATA", "."), "mnist").is_dir(), reason="MNIST is not in SYMNETS_DATA"
)
def test_mnist_has_the_published_images():
    """Counts of the digits in the published training part, and its first labels."""
    images = load_images("mnist", "train")
    assert images.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert images.labels[:4].tolist() == [5, 0, 4, 1]
    assert images.scaled(torch.float32).mean().item() == pytest.approx(0.1307, abs=1e-4)
