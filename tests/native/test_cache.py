"""Machine code cached on disk: equal to compiled code, checked when read, compiled again when unreadable."""

import errno
import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, product
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import pytest
from llvmlite import ir
from torch import nn

from symnets.models import Compiled, NequIP
from symnets.native import (
    Constants,
    Layout,
    NativeProgram,
    energy_program,
    external,
    program_key,
    program_module,
)
from symnets.ops import I64, CompiledModule, VectorCode
from symnets.ops._code_cache import FOLDER, code_key, keep_code, read_code
from tests.native.models import KINDS, SMALL, SPECIES, compiled
from tests.native.test_force_field import graph

KEY, OTHER = code_key("a text", "a processor"), code_key("another text", "a processor")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the machine code of this test."""
    monkeypatch.setattr("symnets.ops._code_cache.cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("symnets.native._native_program._in_use", WeakValueDictionary())
    return tmp_path / "cache" / FOLDER


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List to which each module that is compiled is appended."""
    from symnets.ops._compiled_module import optimized

    texts: list[str] = []
    monkeypatch.setattr(
        "symnets.ops._compiled_module.optimized",
        lambda module, target: (texts.append(str(module)), optimized(module, target))[1],
    )
    return texts


def multiplied(factor: float) -> np.ndarray:
    """The numbers 0, ..., 9 times a factor, by compiled code."""
    module = ir.Module("multiply")
    code = VectorCode(module, "multiply", "float64", "rn", public=True)
    numbers, n = code.arguments
    with code.loop(I64(0), n) as index:
        place = code.offset(numbers, index)
        code.store(code.mul(code.load(place), code.constant(factor)), place)
    code.build.ret_void()
    loops, values = CompiledModule(module, {"multiply": "rn"}), np.arange(10.0)
    loops.functions["multiply"](values.ctypes.data, len(values))
    return values


def test_code_is_compiled_once(folder: Path, compilations: list[str]) -> None:
    for factor in (3.0, 3.0, 0.5, 3.0):
        np.testing.assert_array_equal(multiplied(factor), factor * np.arange(10))
    assert len(compilations) == 2
    assert len(list(folder.iterdir())) == 2
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_program_from_the_cache_gives_the_same_bits(folder: Path, compilations: list[str]) -> None:
    model, inputs = compiled("NequIP of one layer"), graph("slab")
    arguments = [array.numpy() for array in (inputs.z % 3, *inputs.edge_index)]
    vectors = inputs.edge_vectors().numpy()
    first = NativeProgram(energy_program(model.energy_model), "float64")
    expected = first(*arguments, vectors)
    n = len(compilations)
    assert n
    del first  # so that its machine code is not shared
    found = NativeProgram(energy_program(model.energy_model), "float64")(*arguments, vectors)
    assert len(compilations) == n
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_models_of_equal_shapes_share_machine_code(folder: Path) -> None:
    model = compiled("NequIP of one layer")
    twin = compiled("NequIP of one layer")
    twin.energy_model.atomic_energy.scale.mul_(2)  # pyright: ignore
    single = compiled("NequIP of one layer").float()
    programs = [m.native for m in (model, twin, single)]
    assert programs[0].compiled is programs[1].compiled  # pyright: ignore
    assert programs[0].compiled is not programs[2].compiled  # pyright: ignore


ALTERATIONS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut within the checksum": lambda content: content[:20],
    "cut": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "one bit of the code": lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
    "one bit of the checksum": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "without checksum": lambda content: content[32:],
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_altered_files_are_compiled_again(folder: Path, compilations: list[str], alteration: str) -> None:
    multiplied(3.0)
    (path,) = folder.iterdir()
    content = path.read_bytes()
    path.write_bytes(ALTERATIONS[alteration](content))
    np.testing.assert_array_equal(multiplied(3.0), 3 * np.arange(10))
    assert len(compilations) == 2
    assert path.read_bytes() == content


def test_the_file_of_another_text_is_ignored(folder: Path) -> None:
    keep_code(KEY, b"code")
    assert read_code(KEY) == b"code"
    (folder / KEY).rename(folder / OTHER)
    assert read_code(OTHER) is None


def test_keys_depend_on_the_text_and_on_each_condition() -> None:
    keys = {code_key("a", "b", "c"), code_key("a", "c", "b"), code_key("b", "a", "c"), code_key("a", "bc")}
    assert len(keys) == 4
    assert code_key("a", "b", "c") in keys


def test_code_of_another_processor_is_not_read(
    folder: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    multiplied(3.0)
    name, features = "x86-64", ""  # which this processor can execute, too
    monkeypatch.setattr("symnets.ops._compiled_module._processor", lambda cpu: (name, features))
    if platform.machine() == "x86_64":
        np.testing.assert_array_equal(multiplied(3.0), 3 * np.arange(10))
        assert len(compilations) == 2


def test_without_a_folder_code_is_compiled_each_time(
    tmp_path: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("symnets.ops._code_cache.cache", lambda: tmp_path / "file" / "cache")
    for _ in range(2):
        np.testing.assert_array_equal(multiplied(3.0), 3 * np.arange(10))
    assert len(compilations) == 2


def test_code_runs_although_the_disk_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        np.testing.assert_array_equal(multiplied(3.0), 3 * np.arange(10))
    assert not list(folder.iterdir())


def test_a_folder_that_others_can_write_is_not_used(folder: Path, compilations: list[str]) -> None:
    multiplied(3.0)
    folder.chmod(0o777)
    multiplied(3.0)
    multiplied(0.5)
    assert len(compilations) == 3
    assert len(list(folder.iterdir())) == 1
    folder.chmod(0o755)
    multiplied(3.0)
    assert len(compilations) == 3


def test_a_link_to_another_folder_is_not_used(folder: Path, tmp_path: Path) -> None:
    folder.parent.mkdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    multiplied(3.0)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_least_recently_used_files_are_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symnets.ops._code_cache.LARGEST", 3 * 132)
    keys = [code_key(str(n)) for n in range(4)]
    for age, key in zip((400, 300, 200), keys, strict=False):
        keep_code(key, bytes(100))
        os.utime(folder / key, (1e9 - age, 1e9 - age))
    assert read_code(keys[0]) == bytes(100)  # used now
    keep_code(keys[3], bytes(100))
    assert {path.name for path in folder.iterdir()} == {keys[0], keys[2], keys[3]}


def test_concurrent_writers_leave_complete_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symnets.ops._code_cache.LARGEST", 30_000)  # files are deleted, too
    codes = {code_key(str(n)): bytes([n]) * 10_000 for n in range(4)}

    def write_and_read(turn: int) -> list[bool]:
        key = list(codes)[turn % len(codes)]
        keep_code(key, codes[key])
        return [read_code(other) in (None, code) for other, code in codes.items()]

    with ThreadPoolExecutor(8) as pool:
        assert all(all(checks) for checks in pool.map(write_and_read, range(80)))
    assert {path.name for path in folder.iterdir()} <= set(codes)
    assert any(read_code(key) for key in codes)


ONE_LAYER = SMALL | {"lmax": 1, "layers": 1}
VARIANTS: dict[str, Callable[[], nn.Module]] = {
    "small": lambda: NequIP(SPECIES, **ONE_LAYER),
    "other weights": lambda: NequIP(SPECIES, **ONE_LAYER, scale=2.0, shift=-3.0),
    "another cutoff": lambda: NequIP(SPECIES, **ONE_LAYER | {"cutoff": 4.5}),
    "fewer elements": lambda: NequIP(SPECIES[:3], **ONE_LAYER),
    "another width": lambda: NequIP(SPECIES, **ONE_LAYER | {"channels": 6}),
}
ALL = [*VARIANTS.items(), *KINDS.items()]


@pytest.mark.parametrize("kinds", [[*VARIANTS.items()], pytest.param(ALL, marks=pytest.mark.slow)])
def test_programs_have_equal_keys_if_and_only_if_their_texts_are_equal(
    kinds: list[tuple[str, Callable[[], nn.Module]]],
) -> None:
    keys, texts = {}, {}
    for (name, make), dtype in product(kinds, ("float32", "float64")):
        program = energy_program(Compiled(make().double(), 60).energy_model)
        own = {*external(program), program.sizes, program.error}
        layout, constants = Layout(program, own, dtype), Constants(program, dtype)
        keys[name, dtype] = program_key(program, layout, constants, dtype)
        texts[name, dtype] = str(program_module(program, layout, constants, dtype))
    assert keys["small", "float32"] == keys["other weights", "float32"] != keys["small", "float64"]
    for a, b in combinations(keys, 2):
        assert (keys[a] == keys[b]) == (texts[a] == texts[b]), (a, b)
