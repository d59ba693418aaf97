"""Damaged YAML files: a configuration of finite values, or one message."""

from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symnets.config import read_config
from symnets.potentials import TrainConfig
from tests.fuzz.commands import all_finite, refusal, run_harmlessly
from tests.fuzz.conftest import FUZZ
from tests.fuzz.mutations import texts

EXAMPLES = sorted(Path("examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
@FUZZ
@given(data=st.data())
def test_a_damaged_configuration_is_read_or_refused(example, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("yaml") / "mine.yaml"
    path.write_text(data.draw(texts(example.read_text("utf-8"))), "utf-8")
    message = refusal(lambda: read_config(TrainConfig, path))
    if message is None:
        assert all_finite(asdict(read_config(TrainConfig, path)))
    else:
        assert message
        assert len(message.splitlines()) <= 10


@FUZZ
@given(data=st.data())
def test_training_with_a_damaged_configuration_ends_in_one_message(
    data, frames, tmp_path_factory, monkeypatch
):
    folder = tmp_path_factory.mktemp("train")
    monkeypatch.chdir(folder)
    structures = folder / "frames.xyz"
    structures.write_text(frames)
    small = (
        "output: run\n"
        "data:\n  train: frames.xyz\n  n_train: 2\n  n_validation: 1\n"
        "model:\n  architecture: Invariant\n  cutoff: 3.0\n  channels: 4\n  layers: 1\n  lmax: 1\n"
        "  radial_hidden: [8]\n"
        "loss:\n  energy: 1.0\n  forces: 1.0\n"
        "optimizer:\n  epochs: 1\n  batch_size: 2\n"
        "seed: 0\nthreads: 1\nmax_minutes: 0.02\n"
    )
    path = folder / "mine.yaml"
    path.write_text(data.draw(texts(small)), "utf-8")
    run_harmlessly(["train", path], inputs=[path, structures], outputs=folder)
