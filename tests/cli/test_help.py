"""Help texts of the commands, and errors of one line for wrong arguments."""

import errno
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from symnets.cli import COMMANDS, main
from symnets.cli._main import GROUPS, _command
from symnets.cli._streams import prepare_streams
from symnets.data import IMAGE_DATASETS
from symnets.files import locked
from symnets.models import IMAGE_NETS, image_net, save
from symnets.sweeps import experiments


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_example(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*name.split(), "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "Example:" in shown
    assert shown.count(f"symnets {name} ") >= 2  # usage and example


def test_overview_has_one_line_for_each_command(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, command in COMMANDS.items():
        assert f"  {name:<15} {command.summary}" in lines
    assert set(GROUPS) <= set(lines)
    assert max(map(len, lines)) <= 80


def test_unknown_command_names_the_nearest(capsys):
    assert main(["evalaute"]) == 2
    assert capsys.readouterr().err == "error: unknown command 'evalaute'; did you mean `symnets evaluate`?\n"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("models", ("NequIP", "Dense", "vgg_bn")),
        ("datasets", ("digits", "cifar10", "sphere_points", "read_structures")),
        ("experiments", ("jamming_sharpness", "stability_by_layer")),
        ("observables", ("stability", "tangent_kernel", "margins", "hessian_split")),
    ],
)
def test_list_prints_one_line_for_each_name(kind, expected, capsys):
    assert main(["list", kind]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert set(expected) <= {words[0] for words in lines}
    assert all(len(words) > 1 for words in lines)  # a name and its description


def test_list_names_all_experiments_data_sets_and_image_nets(capsys):
    for kind, names in (("experiments", experiments()), ("datasets", IMAGE_DATASETS), ("models", IMAGE_NETS)):
        main(["list", kind])
        out = capsys.readouterr().out
        assert all(f"  {name} " in out for name in names)


@pytest.mark.parametrize("arguments", [["--help"], ["list", "experiments"]])
def test_help_and_list_of_experiments_do_not_import_torch(arguments):
    script = (
        f"import sys; from symnets.cli import main; main({arguments!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_error_names_an_unknown_option(capsys):
    assert main(["info", "model.safetensors", "--jason"]) == 2
    assert capsys.readouterr().err == (
        "error: unrecognized options: --jason; the nearest option is --json; "
        "`symnets info --help` lists the options\n"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("md m CH4 --steps x", "error parsing --steps: no type matching {None}|INT could be instantiated"),
        (
            "md m CH4 --ensemble nvx",
            "invalid choice 'nvx' for argument '--ensemble'. Expected one of ('nve', ",
        ),
        ("md m CH4 --steps", "missing value for argument '--steps'"),
        ("md m", "missing from symnets md: STR File that ASE reads"),
        ("md m CH4 --overwrite no", "--overwrite: expected true or false, got no"),
        ("md m CH4 --timestep nan", "timestep: expected a finite number, got nan"),
        ("md m CH4 --seed -1", "seed: expected 0 to 4294967295, got -1"),
        ("finetune m data.xyz --seed 4294967296", "seed: expected 0 to 4294967295, got 4294967296"),
        ("stability --model m --mean 0.1 inf", "mean: expected a finite number, got [0.1, inf]"),
        ("compile m --tolerance inf", "tolerance: expected a finite number, got inf"),
        ("data generate CH4 --seed 99999999999", "seed: expected 0 to 4294967295, got 99999999999"),
        ("demo --minutes inf --seed 1", "minutes: expected a finite number, got inf"),
        ("run jamming_spheres --seed 4294967296", "seed: expected 0 to 4294967295, got 4294967296"),
        ("sweep jamming_spheres --set seed=-1", "seed: expected 0 to 4294967295, got -1"),
        ("list foo", "invalid choice 'foo' for argument 'kind'. Expected one of ('models', 'datasets'"),
    ],
)
def test_arguments_that_do_not_fit_are_errors_of_one_line(line, message, capsys):
    assert main(line.split()) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {message}")
    assert shown.count("\n") == 1


def test_booleans_null_and_the_home_folder_are_read_as_written():
    def parsed(line):
        name, *rest = line.split()
        return _command(name, rest)

    assert parsed("md m CH4 --overwrite true --steps null").overwrite
    assert not parsed("md m CH4 --overwrite=false --steps=3").overwrite
    assert parsed("md m CH4 --steps None --keep-momenta FALSE --overwrite").overwrite
    assert parsed("stability --model m --baseline none").baseline == "none"
    home = Path("~").expanduser()
    command = parsed("md ~/m ~/s.xyz --trajectory=~/t.xyz --log ~/l.csv")
    assert (command.model, command.structure) == (home / "m", str(home / "s.xyz"))
    assert (command.trajectory, command.log) == (home / "t.xyz", home / "l.csv")


@pytest.mark.parametrize(
    "line", ["evaluate m.safetensors d.xyz", "md m.safetensors CH4 --steps 1", "relax m.safetensors CH4"]
)
@pytest.mark.parametrize("device", ["foo", "cuda:99"])
def test_unusable_device_is_an_error_of_one_line(line, device, capsys):
    assert main([*line.split(), "--device", device]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: device: expected one that torch")
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "advice"), [("info m", "use a smaller input"), ("evaluate m d", "--batch-size")]
)
def test_gpu_out_of_memory_is_an_error_of_one_line(line, advice, monkeypatch, capsys):
    def run(self):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 8.00 GiB.\nIf"
        )

    command = COMMANDS[line.split()[0]]
    monkeypatch.setattr(getattr(importlib.import_module(command.package), command.name), "run", run)
    assert main(line.split()) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: the GPU is out of memory; ")
    assert advice in shown
    assert shown.endswith("Tried to allocate 20.00 GiB\n")
    assert shown.count("\n") == 1


def test_other_errors_of_torch_are_raised(monkeypatch):
    def run(self):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("symnets.cli.Info.run", run)
    with pytest.raises(RuntimeError, match="mat1"):
        main(["info", "m"])


def run_symnets(line, *, stdout=subprocess.PIPE, **environment):
    """Run a command in a process of its own."""
    script = f"import sys; from symnets.cli import main; sys.exit(main({line.split()!a}))"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHON"))}
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, env=plain | environment, check=False
    )


@pytest.mark.parametrize("line", ["list experiments", "--help", "--version", "list --help"])
def test_a_closed_pipe_is_no_error(line):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run_symnets(line, stdout=writer)
    finally:
        os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 141


def test_output_to_a_full_disk_is_an_error_of_one_line():
    with open("/dev/full", "w") as full:
        done = run_symnets("list experiments", stdout=full)
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "error: output: no space left on device; free some space there, or write elsewhere (--output)\n"
    )


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_an_ascii_locale_gets_ascii(environment):
    done = run_symnets("Å²", **environment)
    assert done.returncode == 2
    assert done.stderr.decode("ascii").startswith("error: unknown command 'A2'; did you mean `symnets ")


def test_characters_that_cannot_be_encoded_are_spelled():
    prepare_streams()
    for text, spelled in (
        ("5 Å/σ², δ ≤ 3·10⁻⁴ × 2 − 1", "5 A/sigma2, delta <= 3*10-4 x 2 - 1"),
        ("│─┼ größe é – …", "|-| grosse e - ..."),
        ("你 “ \udcff \U0001f600", r"\u4f60 \u201c \udcff \ud83d\ude00"),  # as in JSON
    ):
        assert text.encode("ascii", "symnets").decode() == spelled


NO_FILE = "No such file or directory"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a"), "a: no space left on device; free some"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "a: read-only file system; write elsewhere"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: permission denied; change its perm"),
        (FileNotFoundError(errno.ENOENT, NO_FILE, "a"), "a: no such file or directory; check the path"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), "a/b: not a directory; a part of"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a"), "a: file name too long; choose a shorter"),
        (FileExistsError("run is locked; wait"), "run is locked; wait"),
        (ValueError("two\n  lines"), "two lines"),
        (MemoryError("8 GiB are too much"), "8 GiB are too much"),
        (UnicodeEncodeError("ascii", "größe", 2, 3, "ordinal"), r"'gr\xf6\xdfe': the locale of this process"),
    ],
)
def test_errors_of_the_system_say_what_to_do(error, line, monkeypatch, capsys):
    def run(self):
        raise error

    monkeypatch.setattr("symnets.cli.Info.run", run)
    assert main(["info", "m"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {line}")
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("demo --output new", "new"),
        ("compile none.safetensors -o new.safetensors", "new.safetensors"),
        ("stability --model net.safetensors --data digits --output new", "new"),
    ],
)
def test_output_to_which_another_process_writes_is_refused(line, output, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(image_net("fc2", (1, 8, 8), width=0.1), "net.safetensors")
    with locked(output, file=output.endswith("safetensors")):
        assert main(line.split()) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {output}: process {os.getpid()} on ")
    assert shown.endswith("is writing there; wait until it ends, or choose another --output\n")
    assert shown.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"net.safetensors"}
