"""Every command explains itself, and what is wrong on its line is one line."""

import importlib

import pytest
import torch

from symnets.cli import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_example(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*name.split(), "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "Example:" in shown
    assert shown.count(f"symnets {name} ") >= 2  # usage and example


def test_overview_names_every_command(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_an_unknown_option_is_named(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["info", "model.safetensors", "--jason"])
    assert stop.value.code == 2
    assert "--jason" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", ["evaluate m.safetensors d.xyz", "md m.safetensors CH4 --steps 1", "relax m.safetensors CH4"]
)
@pytest.mark.parametrize("device", ["foo", "cuda:99"])
def test_a_device_that_cannot_be_used_is_one_line(line, device, capsys):
    assert main([*line.split(), "--device", device]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: device: expected one that torch")
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "advice"), [("info m", "take less at once"), ("evaluate m d", "--batch-size")]
)
def test_a_gpu_without_memory_left_is_one_line(line, advice, monkeypatch, capsys):
    def run(self):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 8.00 GiB.\nIf"
        )

    module, name, _ = COMMANDS[line.split()[0]]
    monkeypatch.setattr(getattr(importlib.import_module(module), name), "run", run)
    assert main(line.split()) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: the GPU is out of memory; ")
    assert advice in shown
    assert shown.endswith("Tried to allocate 20.00 GiB\n")
    assert shown.count("\n") == 1


def test_another_error_of_torch_keeps_its_trace(monkeypatch):
    def run(self):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("symnets.cli._info.Info.run", run)
    with pytest.raises(RuntimeError, match="mat1"):
        main(["info", "m"])
