"""`symnets stability` measures any network on any images, and says what it cannot measure."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from symnets.cli import main
from symnets.cli._stability import MeasureStability
from symnets.data import load_images
from symnets.diffeo import SineField
from symnets.models import image_net, save
from symnets.observables import stability

FAST = ("--n-images", "12", "--draws", "1", "--delta", "0.5")
MODULE = """
import torch
from torch import nn

class Two(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.body = nn.Conv2d(3, 2, 3)
        self.head = nn.Linear(2 * 64, classes)
    def forward(self, x):
        x = torch.relu(self.body(x))
        return {"features": x, "logits": self.head(x.flatten(1))}

class One(Two):
    def forward(self, x):
        return super().forward(x)["logits"]

class Pair(Two):
    def forward(self, x):
        return tuple(super().forward(x).values())

class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 3, 1)
        self.lstm = nn.LSTM(30, 5, batch_first=True)
        self.rows = nn.Linear(30, 2)
        self.head = nn.Linear(5, 4)
    def forward(self, x):
        x = self.body(x).transpose(1, 2).flatten(2)
        self.rows(x.flatten(0, 1))
        return self.head(self.lstm(x)[0][:, -1])

traced = torch.jit.trace(One(), torch.zeros(1, 3, 10, 10))
identity = nn.Identity()
trained = One()
def the_same(): return trained
number = 3
def not_a_net(): return 4
def needs_width(width): return One(width)
"""


@pytest.fixture(autouse=True)
def without_figures(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No figures, which take most of the time of a small measurement."""
    monkeypatch.setattr(MeasureStability, "_save_figures", lambda *_: None)
    return monkeypatch


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a module of networks, a folder of pictures and an image net."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # and taken off afterwards
    name = f"nets_of_{tmp_path.name}".replace("-", "_").replace("[", "_").replace("]", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for k in range(4):
        pixels = rng.integers(0, 256, (10, 10, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{k}.png")
    torch.manual_seed(0)
    net = image_net("vgg_bn", (1, 8, 8), width=0.25)
    save(net, "net.safetensors", extra={"data": "digits", "mean": [0.3], "deviation": [0.4]})
    return tmp_path


@pytest.fixture
def nets(here: Path) -> str:
    """Import path of the module of networks."""
    return next(here.glob("nets_of_*.py")).stem


def measured(capsys: pytest.CaptureFixture, *arguments: object) -> dict:
    """What `--json` prints, which must be JSON and nothing else."""
    assert main(["stability", *map(str, arguments), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out, parse_constant=lambda constant: pytest.fail(f"not JSON: {constant}"))


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The message of a mistake: one line on standard error, exit status 2."""
    assert main(["stability", *map(str, arguments)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    return error


def test_data_and_normalisation_come_from_the_model_file(here: Path, capsys: pytest.CaptureFixture) -> None:
    """The numbers are those of the function, for the same images and seed."""
    found = measured(capsys, "--model", "net.safetensors", *FAST, "--n-images", "500", "--layers", "output")
    assert found["normalisation"] == {"mean": [0.3], "deviation": [0.4]}
    assert found["config"]["data"] == "digits"
    assert found["stability"]["n_images"] == 500
    torch.manual_seed(0)
    net = image_net("vgg_bn", (1, 8, 8), width=0.25)
    direct = stability(
        net,
        (load_images("digits", "test").scaled() - 0.3) / 0.4,
        SineField((8, 8), cutoff=3),
        delta=0.5,
        n_draws=1,
        generator=torch.Generator().manual_seed(0),
    )
    last = found["stability"]["layers"][-1]
    assert last["layer"] == "output"
    assert last["R"]["value"] == pytest.approx(direct.R.value[-1], rel=1e-5)  # batches of another size
    assert last["R"]["low"] < last["R"]["value"] < last["R"]["high"]


def test_files_are_written(
    here: Path, without_figures: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    without_figures.undo()
    without_figures.chdir(here)
    found = measured(capsys, "--model", "net.safetensors", *FAST)
    folder = here / "stability" / "net-digits"
    assert sorted(path.name for path in folder.iterdir()) == ["layers.png", "samples.png", "stability.json"]
    assert json.loads((folder / "stability.json").read_text("utf-8")) == found
    assert (folder / "layers.png").read_bytes().startswith(b"\x89PNG")
    assert found["made_with"]["torch"] == torch.__version__
    assert "commit" in found["made_with"]


def test_output_chooses_the_folder(here: Path, capsys: pytest.CaptureFixture) -> None:
    measured(capsys, "--model", "net.safetensors", *FAST, "--output", "there")
    assert (here / "there" / "stability.json").is_file()
    assert not (here / "stability").exists()


def test_data_of_one_name_have_folders_of_their_own(here: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("a", "b"):
        (here / name).mkdir()
        np.save(here / name / "images.npy", np.random.default_rng(0).random((12, 1, 8, 8), np.float32))
    few = ["--n-images", "12", "--draws", "1", "--delta", "0.5", "--layers", "output"]
    for data in ("a/images.npy", "b/images.npy", "a/images.npy"):
        measured(capsys, "--model", "net.safetensors", *few, "--data", data)
    found = {
        folder.name: json.loads((folder / "stability.json").read_text("utf-8"))["config"]["data"]
        for folder in (here / "stability").iterdir()
    }
    assert found == {"net-images.npy": "a/images.npy", "net-images.npy-2": "b/images.npy"}


def test_the_same_command_gives_the_same_numbers(here: Path, capsys: pytest.CaptureFixture) -> None:
    one, two = (measured(capsys, "--model", "net.safetensors", *FAST) for _ in range(2))
    other = measured(capsys, "--model", "net.safetensors", *FAST, "--seed", 1)
    assert one["stability"] == two["stability"]
    assert one["stability"] != other["stability"]


def test_table_shows_layers_and_baseline(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["stability", "--model", "net.safetensors", *FAST, "--baseline", "initial"]) == 0
    shown = capsys.readouterr()
    for word in ("net on digits: 12 images x 1", "features.conv1", "output", "initial", "stability.json"):
        assert word in shown.out
    assert "12/12" in shown.err  # the bar


def test_layers_are_chosen(here: Path, capsys: pytest.CaptureFixture) -> None:
    def names(*layers: str) -> list[str]:
        found = measured(capsys, "--model", "net.safetensors", *FAST, "--layers", *layers)
        return [layer["layer"] for layer in found["stability"]["layers"]]

    assert names("output") == ["output"]
    assert names("features.conv2", "readout") == ["features.conv2", "readout", "output"]
    assert len(names("all")) > 10


def test_initial_weights_are_of_the_seed(here: Path, capsys: pytest.CaptureFixture) -> None:
    """The net was never trained: its weights are those of seed 0, and so is the baseline."""
    found = measured(
        capsys, "--model", "net.safetensors", *FAST, "--baseline", "initial", "--batch-norm", "batch"
    )
    assert found["initial"]["layers"] == found["stability"]["layers"]
    assert found["initial"]["batch_norm"] == "batch"


def test_identity_has_relative_stability_one(here: Path, nets: str, capsys: pytest.CaptureFixture) -> None:
    found = measured(capsys, "--model", f"{nets}:identity", "--data", "photos", *FAST)
    (layer,) = found["stability"]["layers"]
    assert layer["R"]["value"] == pytest.approx(1.0, rel=1e-6)
    assert found["images"] == [4, 3, 10, 10]


def test_any_network_with_weights_of_a_file(here: Path, nets: str, capsys: pytest.CaptureFixture) -> None:
    torch.manual_seed(5)
    net = importlib.import_module(nets).One()
    torch.save(net.state_dict(), "w.pt")
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, "nested.pt")
    save_file(net.state_dict(), "w.safetensors")
    line = ("--model", f"{nets}:One", "--data", "photos", *FAST)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    found = [
        measured(capsys, *line, "--weights", name)["stability"]
        for name in ("w.pt", "nested.pt", "w.safetensors")
    ]
    assert found[0] == found[1] == found[2] != measured(capsys, *line)["stability"]
    assert torch.equal(torch.get_rng_state(), before)
    both = measured(capsys, *line, "--weights", "w.pt", "--baseline", "initial")
    assert both["initial"]["layers"] != both["stability"]["layers"]
    assert (here / "stability" / "One-w-photos").is_dir()
    assert "otherwise the initial weights are unknown" in refused(capsys, *line, "--baseline", "initial")


def test_weights_of_a_file_are_no_initial_weights(
    here: Path, nets: str, capsys: pytest.CaptureFixture
) -> None:
    """A network that the module holds, or returns again and again, has no initial weights to go back to."""
    module = importlib.import_module(nets)
    before = {name: tensor.clone() for name, tensor in module.trained.state_dict().items()}
    torch.manual_seed(5)
    torch.save(module.One().state_dict(), "w.pt")
    line = ("--data", "photos", *FAST, "--weights", "w.pt", "--layers", "output")
    reference = measured(capsys, "--model", f"{nets}:One", *line)
    found = measured(capsys, "--model", f"{nets}:trained", *line)
    assert found["stability"] == reference["stability"]
    assert all(torch.equal(before[name], tensor) for name, tensor in module.trained.state_dict().items())
    line = (*line, "--baseline", "initial")
    assert "not a network itself" in refused(capsys, "--model", f"{nets}:trained", *line)
    assert "the same parameters at each call" in refused(capsys, "--model", f"{nets}:the_same", *line)


def test_a_note_names_different_batch_statistics(
    here: Path, nets: str, capsys: pytest.CaptureFixture
) -> None:
    """The baseline uses batch statistics; networks without batch normalisation have no such note."""
    line = ("--model", "net.safetensors", *FAST, "--layers", "output", "--baseline", "initial")
    (note,) = measured(capsys, *line)["initial"]["notes"]
    assert "--batch-norm batch uses those of each batch for both" in note
    assert measured(capsys, *line, "--batch-norm", "batch")["initial"]["notes"] == []
    torch.save(importlib.import_module(nets).One().state_dict(), "w.pt")
    plain = ("--model", f"{nets}:One", "--weights", "w.pt", "--data", "photos", *line[2:])
    assert measured(capsys, *plain)["initial"]["notes"] == []


def test_layers_of_torchscript_are_left_out_with_a_note(nets: str, capsys: pytest.CaptureFixture) -> None:
    found = measured(capsys, "--model", f"{nets}:traced", "--data", "photos", *FAST)["stability"]
    assert [layer["layer"] for layer in found["layers"]] == ["output"]
    assert found["notes"][0].startswith("not measured: body, head; the network is in TorchScript")
    message = refused(capsys, "--model", f"{nets}:traced", "--data", "photos", *FAST, "--layers", "body")
    assert "body is a module of TorchScript" in message


def test_layers_without_a_row_for_each_image_are_left_out(
    here: Path, nets: str, capsys: pytest.CaptureFixture
) -> None:
    line = ("--model", f"{nets}:Recurrent", "--data", "photos", *FAST)
    found = measured(capsys, *line)["stability"]
    assert [layer["layer"] for layer in found["layers"]] == ["body", "head", "output"]
    assert "one row for each image: rows, lstm;" in found["notes"][0]
    found = measured(capsys, *line, "--output-key", "lstm=0")["stability"]
    assert [layer["layer"] for layer in found["layers"]] == ["body", "lstm", "head", "output"]
    assert found["layers"][1]["R"]["value"] > 0
    assert "--output-key lstm=INDEX-OR-KEY" in refused(capsys, *line, "--layers", "lstm")


class Executes:
    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was executed",))


def test_weights_that_do_not_fit(here: Path, nets: str, capsys: pytest.CaptureFixture) -> None:
    line = ("--model", f"{nets}:One", "--data", "photos", *FAST, "--weights")
    given = importlib.import_module(nets).One().state_dict()
    renamed = {key.replace("body", "module.body"): value for key, value in given.items()}
    torch.save(renamed, "renamed.pt")
    parallel = {f"module.{key}": value for key, value in given.items()}
    torch.save(parallel, "parallel.pt")
    torch.save(importlib.import_module(nets).One(7).state_dict(), "wide.pt")
    torch.save([1], "list.pt")
    torch.save({"a": Executes()}, "code.pt")
    Path("short.pt").write_bytes(Path("wide.pt").read_bytes()[:200])
    Path("short.safetensors").write_bytes(b"12345678")
    for name, message in {
        "renamed.pt": "2 missing (body.weight, body.bias); 2 unexpected (module.body.weight, "
        "module.body.bias); is module.body.weight meant for body.weight?",
        "wide.pt": "expected head.weight of shape (4, 128), got (7, 128)",
        "list.pt": "expected a state_dict, tensors by name, got list",
        "parallel.pt": "all names begin with 'module.'",
        "code.pt": "not opened (it asks for _pytest.outcomes.",
        "short.pt": "not a whole file of weights",
        "short.safetensors": "not a whole file of weights",
        "none.pt": "there is no such file",
    }.items():
        told = refused(capsys, *line, name)
        assert message in told
        assert "\x1b" not in told  # torch colours its advice to open files all the same
        assert "can still be loaded" not in told


def test_outputs_that_are_not_tensors_need_a_selector(
    here: Path, nets: str, capsys: pytest.CaptureFixture
) -> None:
    for name, key in (("Two", "logits"), ("Pair", "1"), ("Pair", "-1")):
        line = ("--model", f"{nets}:{name}", "--data", "photos", *FAST, "--layers", "output")
        message = refused(capsys, *line)
        assert "(4, 4)" in message or "(2, 4)" in message  # what there is
        assert "--output-key" in message
        found = measured(capsys, *line, "--output-key", key)
        reference = measured(capsys, *line[:1], f"{nets}:One", *line[2:])
        assert found["stability"] == reference["stability"]
        assert "expected output=7" in refused(capsys, *line, "--output-key", "7")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--model nothing.safetensors --data digits", "expected a file or an import path"),
        ("--model nowhere.nets:net --data digits", "there is no module 'nowhere.nets'"),
        ("--model {nets} --data digits", "expected a file or an import path"),
        ("--model {nets}:Ones --data digits", "has no 'Ones'; the nearest names are One"),
        ("--model {nets}:number --data digits", "to be callable, got int"),
        ("--model {nets}:not_a_net --data digits", "to return a torch.nn.Module, got int"),
        ("--model {nets}:needs_width --data digits", "missing a required argument: 'width'"),
        ("--model {nets}:One", "--data: name the images"),
        ("--model {nets}:One --data digits", "does not accept images of shape (1, 8, 8)"),
        ("--model {nets}:One --data photos --layers bodi", "no module 'bodi'; the nearest names are body"),
        ("--model {nets}:One --data photo", "--data: expected a data set, a folder"),
        ("--model {nets}:One --data cifar", "did you mean 'cifar10'?"),
        ("--model {nets}:One --data empty", "found none"),
        ("--model {nets}:One --data photos --mean 0.1 0.2", "--mean: expected 1 number, or 3"),
        ("--model {nets}:One --data photos --std 0", "--std: expected numbers > 0"),
        ("--model {nets}:One --data photos --normalise --mean 0.1", "expected without --mean and --std"),
        ("--model net.safetensors --data photos", "found none"),
        (
            "--model net.safetensors --data wide.npy",
            "expected (channels, rows, columns) = (1, 8, 8) for net.safetensors, got (1, 9, 9)",
        ),
        ("--model net.safetensors --data last.npy", "the channels come last"),
        ("--model net.safetensors --size 8", "--size, --channels: expected only with a folder"),
        ("--model net.safetensors --data wide.npy --channels 1", "those of wide.npy are not converted"),
        ("--model letters.safetensors", "--mean: expected 1 number, or 1, one for each channel, got 'a'"),
        ("--model none.safetensors", "--std: expected 1 number, or 1, one for each channel, got [None]"),
        ("--model listed.safetensors", "--data: name the images; listed.safetensors has ['x']"),
        ("--model net.safetensors --data nan.npy", "expected finite pixels, got NaN"),
        ("--model net.safetensors --cutoff 0", "cutoff: expected a positive number, got 0"),
        ("--model net.safetensors --cutoff 9", "cutoff: 9 has modes"),
        ("--model net.safetensors --temperature -1", "temperature: expected a finite number >= 0, got -1"),
        ("--model net.safetensors --delta nan", "delta: expected a finite number, got nan"),
        ("--model net.safetensors --temperature 1e-3 --delta 1", "expected one of the two, got both"),
        ("--model net.safetensors --draws 0", "n_draws: expected at least 1, got 0"),
        ("--model net.safetensors --n-images 1", "--n-images: expected at least 2"),
        ("--model net.safetensors --seed -1", "seed: expected 0 to 4294967295, got -1"),
        ("--model net.safetensors --weights w.pt", "contains its own weights"),
        ("--model net.safetensors --device cuda:99", "device: expected one that torch"),
        ("--model short.safetensors", "not a whole safetensors file"),
        ("--model weights.pt", "contains weights only"),
    ],
)
def test_mistakes_are_one_line(
    here: Path, nets: str, options: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    (here / "empty").mkdir()
    np.save("wide.npy", np.zeros((4, 1, 9, 9), np.float32))
    np.save("last.npy", np.zeros((4, 8, 8, 1), np.float32))
    np.save("nan.npy", np.full((4, 1, 8, 8), np.nan, np.float32))
    Path("short.safetensors").write_bytes(Path("net.safetensors").read_bytes()[:100])
    Path("weights.pt").write_bytes(b"")
    for name, extra in {
        "letters": {"data": "digits", "mean": "a", "deviation": [1.0]},
        "none": {"data": "digits", "mean": [0.0], "deviation": [None]},
        "listed": {"data": ["x"]},
    }.items():
        save(image_net("fc2", (1, 8, 8), width=0.1), f"{name}.safetensors", extra=extra)
    if "photos" in options and "net.safetensors" in options:
        for path in Path("photos").iterdir():
            path.unlink()
    assert message in refused(capsys, *options.format(nets=nets).split())
    assert not (here / "stability").exists()


def test_a_temperature_above_the_range_gives_one_warning(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["stability", "--model", "net.safetensors", *FAST, "--delta", "2", "--json"]) == 0
    told = capsys.readouterr().err
    assert told.startswith("warning: T = ")
    assert "folds with probability 0.9" in told or "folds with probability 1" in told
    assert told.count("\n") == 1


def test_zero_temperature_is_the_identity_with_a_note(here: Path, capsys: pytest.CaptureFixture) -> None:
    line = ["--model", "net.safetensors", "--n-images", "6", "--draws", "1", "--temperature", "0"]
    found = measured(capsys, *line)
    last = found["stability"]["layers"][-1]
    assert last["D"]["value"] == 0
    assert last["R"]["value"] is None
    assert main(["stability", *line]) == 0
    shown = capsys.readouterr().out
    assert "undefined" in shown
    assert "R is undefined" in shown


def test_grey_images_are_converted_to_the_channels_of_the_net(
    here: Path, capsys: pytest.CaptureFixture
) -> None:
    found = measured(capsys, "--model", "net.safetensors", "--data", "photos", *FAST)
    assert found["images"] == [4, 1, 8, 8]


def test_integer_pixels_are_scaled_to_zero_to_one(here: Path, capsys: pytest.CaptureFixture) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8)).astype(np.uint8)
    np.save("bytes.npy", pixels)
    np.savez("floats.npz", images=(pixels / np.float32(255)))
    one, two = (
        measured(capsys, "--model", "net.safetensors", "--data", name, *FAST)["stability"]
        for name in ("bytes.npy", "floats.npz")
    )
    assert one == two


def test_own_normalisation_makes_mean_zero_and_deviation_one(
    here: Path, nets: str, capsys: pytest.CaptureFixture
) -> None:
    found = measured(capsys, "--model", f"{nets}:One", "--data", "photos", *FAST, "--normalise")
    assert len(found["normalisation"]["mean"]) == 3
    given = [str(value) for value in found["normalisation"]["mean"]]
    std = [str(value) for value in found["normalisation"]["deviation"]]
    again = measured(
        capsys, "--model", f"{nets}:One", "--data", "photos", *FAST, "--mean", *given, "--std", *std
    )
    assert again["stability"] == found["stability"]


def test_a_network_that_is_an_nn_module(here: Path, capsys: pytest.CaptureFixture) -> None:
    """A class of torch itself, by its import path."""
    found = measured(capsys, "--model", "torch.nn:Flatten", "--data", "photos", *FAST, "--size", 9)
    assert found["images"] == [4, 3, 9, 9]
    assert isinstance(nn.Flatten(), nn.Module)
