"""Paths with `~` and variables; outputs are checked before the work; folders of results are locked."""

import subprocess
import sys
from pathlib import Path

import pytest

from symnets.data import find_data
from symnets.files import claim, expanded, locked, own_folder

SCRIPT = """
import sys
from symnets.files import locked
sys.stdin.readline()
try:
    with locked(sys.argv[1]):
        print("locked", flush=True)
        sys.stdin.readline()
except FileExistsError as error:
    print(error, flush=True)
"""


def start(folder: Path) -> subprocess.Popen:
    arguments = [sys.executable, "-c", SCRIPT, str(folder)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go(process: subprocess.Popen) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_one_of_four_processes_locks_a_folder_and_the_others_name_it(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "x"
    processes = [start(folder) for _ in range(4)]
    for process in processes:
        go(process)
    lines = [process.stdout.readline().strip() for process in processes if process.stdout]
    (winner,) = [process for process, line in zip(processes, lines, strict=True) if line == "locked"]
    expected = f"{folder}: process {winner.pid} on "
    refused = [line for line in lines if line != "locked"]
    # A process that loses by microseconds finds the lock without the name of its holder.
    assert all(line.startswith((expected, f"{folder}: another process is writing there")) for line in refused)
    assert all(line.endswith("wait until it ends, or choose another --output") for line in refused)
    with pytest.raises(FileExistsError, match=expected), locked(folder):
        pass
    go(winner)
    for process in processes:
        process.communicate()
    assert not folder.exists() or not list(folder.iterdir())


def test_new_folders_are_removed_if_nothing_is_written(tmp_path: Path) -> None:
    with locked(tmp_path / "runs" / "x"):
        assert (tmp_path / "runs" / "x" / ".lock").exists()
    assert not (tmp_path / "runs").exists()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    process = start(tmp_path / "x")
    go(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    process.kill()
    process.communicate()
    assert (tmp_path / "x" / ".lock").exists()
    with locked(tmp_path / "x"):
        (tmp_path / "x" / "model").write_text("new")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["model"]


def test_files_beside_each_other_are_locked_separately(tmp_path: Path) -> None:
    with locked(tmp_path / "a", file=True), locked(tmp_path / "b", file=True):
        with pytest.raises(FileExistsError, match="choose another -o"):
            locked(tmp_path / "a", file=True, option="-o").__enter__()
        with pytest.raises(FileExistsError, match=r"is writing there"):
            locked(tmp_path / "b", file=True).__enter__()
    assert not list(tmp_path.iterdir())


def test_paths_may_have_the_home_folder_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.delenv("NOWHERE", raising=False)
    assert expanded("~/a.xyz") == Path("/home/me/a.xyz")
    assert expanded("$SCRATCH/run") == expanded("${SCRATCH}/run") == Path("/scratch/me/run")
    assert expanded("a~b/5$.xyz") == Path("a~b/5$.xyz")
    for path in ("$NOWHERE/x", "x/${NOWHERE}"):
        with pytest.raises(ValueError, match="the environment variable NOWHERE is not set"):
            expanded(path)


def test_data_are_found_here_or_in_the_folder_of_data_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("here/sub", "home", "data/sub"):
        (tmp_path / place).mkdir(parents=True)
    for file in ("here/sub/a", "home/b", "data/sub/c"):
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SYMNETS_DATA", raising=False)
    assert find_data("sub/a") == Path("sub/a")
    assert find_data("~/b") == tmp_path / "home" / "b"
    with pytest.raises(FileNotFoundError) as caught:
        find_data("sub/c")
    assert str(caught.value) == f"sub/c: there is no such file in the current folder, {tmp_path}/here"
    monkeypatch.setenv("SYMNETS_DATA", "~/../data")
    assert find_data("sub/c").resolve() == tmp_path / "data" / "sub" / "c"
    with pytest.raises(FileNotFoundError, match=r"current folder, .*here, or in SYMNETS_DATA, ~/../data"):
        find_data("sub/d")
    with pytest.raises(FileNotFoundError, match=r"/none: there is no such file$"):
        find_data("/none")
    with pytest.raises(FileNotFoundError, match=r"sub: expected a file, got a folder"):
        find_data("sub")


def test_a_file_to_be_written_is_checked_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert claim("~/new/deep/a.txt") == tmp_path / "new" / "deep" / "a.txt"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.txt").write_text("precious")
    assert claim(tmp_path / "a.txt", overwrite=True) == tmp_path / "a.txt"
    assert (tmp_path / "a.txt").read_text() == "precious"
    for path, message in (
        (tmp_path / "a.txt", "the file exists; choose another --output, or pass --overwrite"),
        (tmp_path / "a.txt" / "b", "cannot be written: Not a directory; choose another --output"),
        (tmp_path, "expected a file name, got a directory"),
        (tmp_path / ("n" * 300), "cannot be written: File name too long"),
    ):
        with pytest.raises(ValueError, match=message):
            claim(path, option="--output")
    with pytest.raises(ValueError, match=r"choose another log, or pass overwrite$"):
        claim(tmp_path / "a.txt", option="log")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ValueError, match=r"a\.txt: the file is read-only; choose another output"):
        claim(tmp_path / "a.txt", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_results_of_other_inputs_are_not_replaced(tmp_path: Path) -> None:
    def folder(name: str) -> str:
        place = own_folder(tmp_path / "test", lambda place: (place / name).exists())
        (place / name).touch()
        return place.name

    assert [folder(name) for name in "abacba"] == ["test", "test-2", "test", "test-3", "test-2", "test"]
