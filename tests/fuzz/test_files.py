"""Damaged model files, checkpoints, images and results of sweeps: read if whole, or refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from symnets.cli import main
from symnets.data import read_archive, write_archive
from symnets.models import load
from tests.fuzz.commands import ending, run_harmlessly
from tests.fuzz.conftest import FUZZ
from tests.fuzz.mutations import byte_strings, json_values


@FUZZ
@given(data=st.data())
def test_a_damaged_model_file_is_described_or_refused(data, force_field, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / "model.safetensors"
    path.write_bytes(data.draw(byte_strings(force_field.read_bytes())))
    run_harmlessly(["info", path], inputs=[path])


@FUZZ
@given(data=st.data())
def test_a_model_file_with_another_header_is_described_and_loaded_or_refused(
    data, force_field, tmp_path_factory
):
    """The checksum is right, so that the header is trusted as far as it can be."""
    tensors, header = read_archive(force_field, "model")
    path = tmp_path_factory.mktemp("header") / "model.safetensors"
    write_archive(path, "model", tensors, data.draw(json_values(header).filter(_is_dict)))
    run_harmlessly(["info", path], inputs=[path])
    try:
        with ending():
            model = load(path)
    except ValueError:
        return
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@FUZZ
@given(data=st.data())
def test_a_training_resumes_from_a_damaged_checkpoint_or_says_why_not(data, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    files = sorted(p for p in (folder / "run").rglob("*") if p.is_file() and "events" not in p.name)
    path = data.draw(st.sampled_from(files))
    path.write_bytes(data.draw(byte_strings(path.read_bytes())))
    config = folder / "mine.yaml"
    run_harmlessly(
        ["train", config, "--resume", "--output", folder / "run", "--data.train", folder / "frames.xyz"],
        inputs=[config, folder / "frames.xyz"],
    )


@pytest.mark.parametrize("name", ["images.npy", "images.npz", "folder/a.png", "folder/a.jpg"])
@FUZZ
@given(data=st.data())
def test_damaged_images_are_measured_or_refused(name, data, picture_net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).uniform(size=(6, 1, 8, 8))
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".npz":
        np.savez(path, images=pixels)
    else:
        for i, suffix in enumerate((path.name, "b.png", "c.png")):
            Image.fromarray(np.uint8(255 * pixels[i, 0])).save(path.parent / suffix)
    path.write_bytes(data.draw(byte_strings(path.read_bytes())))
    source = path if path.parent == folder else path.parent
    small = ["--n-images", "4", "--draws", "1", "--layers", "output", "--output", folder / "out"]
    run_harmlessly(
        ["stability", "--model", picture_net, "--data", source, *small],
        inputs=[path, picture_net],
        outputs=folder / "out",
    )


@FUZZ
@given(data=st.data())
def test_tables_and_pages_are_made_of_damaged_results(data, swept, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    shutil.copytree(swept, folder / "noise")
    path = data.draw(st.sampled_from(sorted(p for p in (folder / "noise").rglob("*") if p.is_file())))
    path.write_bytes(data.draw(byte_strings(path.read_bytes())))
    table = ["table", folder / "noise", "--output", folder / "noise.csv"]
    for command in (table, ["figure", folder / "noise"], ["report", folder]):
        run_harmlessly(command)


@FUZZ
@given(data=st.data())
def test_images_of_odd_shapes_types_and_values_are_measured_or_refused(data, picture_net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    shape = data.draw(st.lists(st.integers(0, 9), min_size=0, max_size=5).map(tuple) | st.just((5, 1, 8, 8)))
    kind = data.draw(
        st.sampled_from(["float32", "float64", "float16", "uint8", "int64", "bool", "complex64", "U3"])
    )
    pixels = np.random.default_rng(0).uniform(0, 1, shape)
    if pixels.size and data.draw(st.booleans()):
        pixels.flat[0] = data.draw(st.sampled_from([np.nan, np.inf, -1e30, 256.0]))
    with np.errstate(all="ignore"):
        np.save(folder / "images.npy", pixels.astype(kind))
    small = ["--n-images", "4", "--draws", "1", "--output", folder / "out"]
    run_harmlessly(
        ["stability", "--model", picture_net, "--data", folder / "images.npy", *small],
        inputs=[folder / "images.npy"],
        outputs=folder / "out",
    )


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, frames):
    """A finished training of one epoch: mine.yaml, frames.xyz, and the folder run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "frames.xyz").write_text(frames)
    settings = {
        "output": str(folder / "run"),
        "data": {"train": str(folder / "frames.xyz"), "n_train": 2, "n_validation": 1},
        "model": {
            "architecture": "Invariant",
            "cutoff": 3.0,
            "channels": 4,
            "layers": 1,
            "lmax": 1,
            "radial_hidden": [8],
        },
        "optimizer": {"epochs": 2, "batch_size": 2},
        "threads": 1,
    }
    (folder / "mine.yaml").write_text(json.dumps(settings))
    assert main(["train", str(folder / "mine.yaml")]) == 0
    return folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The results of a small experiment."""
    folder = tmp_path_factory.mktemp("swept")
    assert main(["sweep", "tests.sweeps.toy_noise", "--output", str(folder), "--executor", "serial"]) == 0
    return folder
