"""Files appear whole or not at all."""

import subprocess
import sys

import pytest
import safetensors.torch
import torch

from symnets.data import read_archive, read_header, write_archive
from symnets.files import whole_file


def test_no_temporary_file_is_left(tmp_path):
    with whole_file(tmp_path / "sub" / "a.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "sub" / "a.txt").exists()
    assert (tmp_path / "sub" / "a.txt").read_text() == "new"
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.txt"]


def test_an_error_keeps_the_previous_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def fail():
        with whole_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got a directory"), whole_file(tmp_path):
        pass


def test_an_archive_preserves_bits_and_dtypes(tmp_path):
    shared = torch.randn(4, dtype=torch.float64)
    tensors = {
        "a": shared,
        "b": shared[:2],
        "c": torch.tensor([1, 2], dtype=torch.uint8),
        "empty": torch.zeros(0, 3),
    }
    header = {"x": 0.1 + 0.2, "none": None, "nan": float("nan"), "list": [1, "é"]}
    write_archive(tmp_path / "f", "test", tensors, header)
    found, read = read_archive(tmp_path / "f", "test")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert read["x"] == header["x"]
    assert read["nan"] != read["nan"]
    assert read_header(tmp_path / "f", "test")["list"] == [1, "é"]


def test_the_error_gives_the_kind_of_another_archive(tmp_path):
    write_archive(tmp_path / "f", "checkpoint", {"a": torch.zeros(1)}, {})
    with pytest.raises(ValueError, match="expected a symnets model file, got a symnets checkpoint file"):
        read_archive(tmp_path / "f", "model")


def test_an_archive_can_be_read_while_another_process_replaces_it(tmp_path):
    for size in (1, 5000):
        write_archive(tmp_path / str(size), "test", {"a": torch.zeros(size)}, {"size": size})
    (tmp_path / "one").write_bytes((tmp_path / "1").read_bytes())
    replace = (
        "import os, itertools\n"
        "whole = [open(name, 'rb').read() for name in ('1', '5000')]\n"
        "for n in itertools.count():\n"
        "    with open('new', 'wb') as file: file.write(whole[n % 2])\n"
        "    os.replace('new', 'one')\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", replace], cwd=tmp_path)
    try:
        found = []
        while len(found) < 300 or len(set(found)) < 2:
            tensors, header = read_archive(tmp_path / "one", "test")
            assert tensors["a"].numel() == header["size"]
            found.append(read_header(tmp_path / "one", "test")["size"])
    finally:
        writer.kill()
        writer.wait()


@pytest.mark.parametrize("metadata", [{"symnets": "model"}, {"symnets": "model", "header": "{"}])
def test_an_archive_without_a_whole_header_is_refused(metadata, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors.torch.save({}, metadata))
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        read_header(path, "model")
