"""A potential in a shared library predicts what it predicts in Python, from C, Fortran and ctypes."""

import copy
import ctypes
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import get_ident

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import atomic_numbers

from symnets.cli import main
from symnets.data import build_graphs, collate
from symnets.deploy import SharedModel, compiler_flags, export
from symnets.models import (
    MACE,
    Compiled,
    ForceField,
    Invariant,
    NequIP,
    Nequix,
    SE3Transformer,
    WithZBL,
    save,
)
from symnets.native import AtomEnergies, CannotLower

EXAMPLES = Path(__file__).parents[2] / "examples" / "native"
ELEMENTS = ["O", "H", "Cu"]  # not in the order of atomic numbers
SMALL = {"cutoff": 3.5, "channels": 4, "layers": 2}

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler, which links the libraries"
)


def compiled(model: Callable[..., torch.nn.Module], dtype: torch.dtype, **options: object) -> Compiled:
    """A small compiled force field that torch evaluates.

    Few knots will do, since tables are read in the same way everywhere.
    """
    torch.manual_seed(1)
    force_field = Compiled(model(ELEMENTS, **options), 50).to(dtype)
    force_field.use_native = False
    return force_field


def nequip(dtype: torch.dtype = torch.float64, **options: object) -> Compiled:
    return compiled(NequIP, dtype, **SMALL | {"lmax": 1} | options)


def tiny(dtype: torch.dtype = torch.float64) -> Compiled:
    """A NequIP whose machine code is written quickly."""
    return nequip(dtype, layers=1, lmax=0)


def zbl(elements: list[str], **options: object) -> WithZBL:
    return WithZBL(NequIP(elements, **options))


@pytest.fixture(scope="module")
def double() -> Compiled:
    return nequip()


@pytest.fixture(scope="module")
def library(double: Compiled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NequIP in float64."""
    return export(double, tmp_path_factory.mktemp("library") / "libnequip.so")


def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=1)
    return atoms


def crystal() -> Atoms:
    """A cell smaller than the cutoff, of two elements."""
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.numbers[0] = atomic_numbers["O"]
    atoms.rattle(0.1, seed=2)
    shear = np.array([[1, 0.03, 0], [0, 1, 0.05], [0.08, 0, 1]])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    return atoms


def inputs(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, ...]:
    """Atomic numbers, senders, receivers and vectors."""
    graph = collate(build_graphs([atoms], cutoff, dtype=torch.float64)).inputs
    return atoms.numbers, *graph.edge_index.numpy(), graph.edge_vectors().numpy()


def call(model: SharedModel, atoms: Atoms) -> AtomEnergies:
    return model(*inputs(atoms, model.cutoff))


def assert_equal(found: AtomEnergies, model: ForceField, atoms: Atoms, tolerance: float) -> None:
    """Energies of atoms, forces and stress are those of a force field computed in float64, in eV and Å."""
    model = copy.deepcopy(model).double()
    expected = model(collate(build_graphs([atoms], model.cutoff, dtype=torch.float64)).inputs)
    assert np.abs(found.energy - expected.node_energy.numpy()).max() < tolerance
    assert np.abs(found.forces - expected.forces.numpy()).max() < tolerance
    if expected.stress is not None:
        strain = found.virials.sum(0)
        stress = (strain + strain.T) / 2 / atoms.get_volume()
        assert np.abs(stress - expected.stress[0].numpy()).max() < tolerance


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (NequIP, SMALL | {"parity": True}),
        (MACE, SMALL),
        pytest.param(Invariant, SMALL, marks=pytest.mark.slow),
        pytest.param(zbl, SMALL | {"lmax": 1}, marks=pytest.mark.slow),
        pytest.param(
            Nequix,
            {"cutoff": 3.5, "layers": 2, "irreps": "4x0e+3x1o+2x2e", "lmax": 2},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["nequip", "mace", "invariant", "zbl", "nequix"],
)
@pytest.mark.parametrize(
    # Atol. of forces: rounding of sums of a few hundred terms.
    ("dtype", "tolerance"),
    [(torch.float32, 5e-6), pytest.param(torch.float64, 1e-10, marks=pytest.mark.slow)],
)
def test_library_predicts_what_the_model_predicts(model, options, dtype, tolerance, tmp_path):
    force_field = compiled(model, dtype, **options)
    shared = SharedModel(export(force_field, tmp_path / "libmodel.so"))
    assert shared.description["dtype"] == str(dtype).removeprefix("torch.")
    for atoms in (water(), crystal(), Atoms("Cu"), Atoms("HO", [[0, 0, 0], [0, 0, 1]])):
        assert_equal(call(shared, atoms), force_field, atoms, tolerance)


def test_library_describes_itself(library):
    shared = SharedModel(library)
    assert shared.species == (1, 8, 29)
    assert shared.cutoff == 3.5
    assert shared.description["model"] == "NequIP"
    assert shared.description["species"] == ["H", "O", "Cu"]
    assert re.fullmatch("[0-9a-f]{64}", shared.description["hash"])
    # The features that senders of the second layer need: 4 scalars and 4 vectors, of either parity at most.
    assert 16 <= shared.exchange_columns <= 32


@pytest.mark.slow
def test_hash_depends_on_the_weights(tmp_path):
    model = tiny()
    hashes = []
    for k in range(3):
        hashes.append(SharedModel(export(model, tmp_path / f"lib{k}.so")).description["hash"])
        if k == 1:
            with torch.no_grad():
                next(p for p in model.parameters() if p.numel()).mul_(1.01)
    assert hashes[0] == hashes[1] != hashes[2]


def test_arithmetic_can_be_of_another_dtype(tmp_path):
    model = tiny()
    shared = SharedModel(export(model, tmp_path / "libsingle.so", dtype="float32"))
    assert shared.description["dtype"] == "float32"
    assert_equal(call(shared, crystal()), model, crystal(), 5e-6)


def test_model_that_is_not_compiled_is_compiled_first(tmp_path):
    original = ForceField(tiny().config["energy_model"]).double().eval()
    shared = SharedModel(export(original, tmp_path / "libmodel.so"))
    assert_equal(call(shared, water()), original, water(), 1e-4)  # the default tolerance of tables


def test_library_has_symbols_of_libc_only(library):
    if not shutil.which("nm"):
        pytest.skip("no nm, which lists symbols")
    lines = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True).stdout
    undefined = re.findall(r"^\s+[Uw] (\w+)", lines, re.MULTILINE)
    weak = {"_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__cxa_finalize", "__gmon_start__"}
    libc = {"free", "memcpy", "memset", "posix_memalign", "pthread_create", "pthread_join", "sched_yield"}
    assert {"pthread_create", "posix_memalign"} <= set(undefined) <= libc | weak
    header = Path(compiler_flags(library).split()[0][2:], "symnets.h").read_text("utf-8")
    declared = set(re.findall(r"\b(symnets_\w+)\(", header))
    assert set(re.findall(r" T (\w+)", lines)) == declared


def test_libraries_are_loaded_twice_and_side_by_side(double, library, tmp_path):
    again = shutil.copy(library, tmp_path / "copy.so")
    small = tiny(torch.float32)
    other = export(small, tmp_path / "libother.so")
    models = [SharedModel(path) for path in (library, library, again, other)]
    for _ in range(2):
        for model in models[:3]:
            assert_equal(call(model, crystal()), double, crystal(), 1e-10)
        assert_equal(call(models[3], crystal()), small, crystal(), 5e-6)


def test_calls_from_several_threads(double, library):
    structures = [water(), crystal()]
    models = [SharedModel(library) for _ in structures]

    def repeat(k: int) -> list[AtomEnergies]:
        arrays = inputs(structures[k], models[k].cutoff)
        return [models[k](*arrays) for _ in range(50)]

    with ThreadPoolExecutor(2) as pool:
        for atoms, results in zip(structures, pool.map(repeat, range(2)), strict=True):
            for result in results:
                assert_equal(result, double, atoms, 1e-10)


def test_threads_of_a_call(double, tmp_path, monkeypatch):
    monkeypatch.setattr("symnets.deploy._export.MOST_EDGES_OF_ONE_THREAD", -1)  # threads for few edges too
    path = export(double, tmp_path / "libmodel.so")
    atoms = crystal().repeat(2)
    for threads in (1, 2, 3):
        shared = SharedModel(path, threads=threads)
        for _ in range(5):
            assert_equal(call(shared, atoms), double, atoms, 1e-10)


def test_exchanges_are_called_by_the_thread_of_the_caller(double, tmp_path, monkeypatch):
    """MPI may allow its calls to one thread only."""
    monkeypatch.setattr("symnets.deploy._export.MOST_EDGES_OF_ONE_THREAD", -1)
    shared = SharedModel(export(double, tmp_path / "libmodel.so"), threads=4)
    arrays = inputs(crystal(), shared.cutoff)
    callers = []
    for _ in range(40):  # threads begin in an order that changes
        shared(
            *arrays,
            forward=lambda _: callers.append(get_ident()),
            reverse=lambda _: callers.append(get_ident()),
        )
    assert callers
    assert set(callers) == {get_ident()}


def test_ghosts_have_the_features_of_their_owners(double, library):
    """Periodic images are ghosts, as in molecular dynamics codes that divide space among processes."""
    shared, atoms = SharedModel(library), crystal()
    numbers, sender, receiver, vectors = inputs(atoms, shared.cutoff)
    places = atoms.positions[receiver] + vectors
    outside = np.abs(places - atoms.positions[sender]).max(axis=1) > 1e-6
    keys = np.column_stack([sender, np.round(places, 6)])
    images, which = np.unique(keys[outside], axis=0, return_inverse=True)
    owner = images[:, 0].astype(int)
    n, n_ghosts = len(atoms), len(images)
    assert n_ghosts > 2 * n
    sender = sender.copy()
    sender[outside] = n + which.ravel()
    calls = []

    def forward(rows: np.ndarray) -> None:
        assert rows.shape[0] == n + n_ghosts
        calls.append(("forward", rows.shape[1]))
        rows[n:] = rows[owner]

    def reverse(rows: np.ndarray) -> None:
        calls.append(("reverse", rows.shape[1]))
        np.add.at(rows, owner, rows[n:])

    found = shared(
        np.append(numbers, numbers[owner]),
        sender,
        receiver,
        vectors,
        n_own=n,
        forward=forward,
        reverse=reverse,
    )
    assert found.energy.shape == (n,)
    forces, virials = found.forces[:n].copy(), found.virials[:n].copy()
    np.add.at(forces, owner, found.forces[n:])
    np.add.at(virials, owner, found.virials[n:])
    assert_equal(AtomEnergies(found.energy, forces, virials), double, atoms, 1e-10)
    assert calls == [("forward", shared.exchange_columns), ("reverse", shared.exchange_columns)]


def test_no_atoms_no_edges_and_null_virials(library):
    shared = SharedModel(library)
    none = np.empty(0, dtype=np.int64)
    empty = shared(none, none, none, np.empty((0, 3)))
    assert empty.energy.shape == (0,)
    lone = shared(np.array([1]), none, none, np.empty((0, 3)))
    assert np.isfinite(lone.energy).all()
    assert not lone.forces.any()
    arrays = [np.ascontiguousarray(a) for a in inputs(water(), shared.cutoff)]
    energy, forces = np.empty(3), np.empty((3, 3))
    z, sender, receiver, vectors = (a.ctypes.data for a in arrays)
    outputs = energy.ctypes.data, forces.ctypes.data, None, None, None, None
    size = len(arrays[1])
    assert not shared._library.symnets_compute(
        shared._model, 3, 3, z, size, sender, receiver, vectors, *outputs
    )
    assert np.array_equal(forces, call(shared, water()).forces)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": [8, 1, 2]}, "does not know an element"),
        ({"numbers": [8, 1, -1]}, "does not know an element"),
        ({"numbers": [8, 1, 2**40]}, "does not know an element"),
        ({"sender": [1, 2, 0, 3]}, "an index of an edge is out of range"),
        ({"sender": [1, -1, 0, 0]}, "an index of an edge is out of range"),
        ({"receiver": [0, 0, 2, 1]}, "receivers are not in increasing order"),
        ({"receiver": [0, 0, 1, 3]}, "an index of an edge is out of range"),
        ({"receiver": [-1, 0, 1, 2]}, "an index of an edge is out of range"),
        ({"vectors": 0.0}, "two atoms are at the same place"),
        ({"vectors": np.nan}, "not finite, or is longer than the cutoff"),
        ({"vectors": np.inf}, "not finite, or is longer than the cutoff"),
        ({"vectors": 3.6}, "not finite, or is longer than the cutoff"),
        ({"n_own": 2}, "an index of an edge is out of range"),
        ({"n_own": 4}, "at most 3 own atoms, got 4"),
        ({"sender": [1, 2]}, r"expected shape \(edges, 3\) for 2 senders and 4 receivers"),
    ],
)
def test_wrong_input_is_an_error_and_the_next_call_is_right(change, message, double, library):
    shared = SharedModel(library)
    vectors = np.tile([0.9, 0.0, 0.0], (4, 1))
    good = {"numbers": [8, 1, 1], "sender": [1, 2, 0, 0], "receiver": [0, 0, 1, 2], "vectors": vectors}
    if "vectors" in change:
        vectors = vectors.copy()
        vectors[2] = [change["vectors"], 0, 0]
        change = {"vectors": vectors}
    arguments = {k: np.asarray(v) if k != "n_own" else v for k, v in (good | change).items()}
    with pytest.raises(ValueError, match=message):
        shared(**arguments)
    assert_equal(call(shared, water()), double, water(), 1e-10)


def test_error_codes(library):
    shared = SharedModel(library)
    c = shared._library
    assert c.symnets_compute(None, 0, 0, *[None] * 1, 0, *[None] * 9) == 8
    assert c.symnets_compute(shared._model, 0, 3, None, 0, *[None] * 9) == 8
    assert c.symnets_compute(shared._model, -1, 3, None, 0, *[None] * 9) == 8
    assert c.symnets_set_threads(shared._model, 0) == 8
    # More memory than any computer has; the pointers are not used.
    assert c.symnets_compute(shared._model, 0, 2**36, 64, 0, *[None] * 4, 64, *[None] * 4) == 5
    assert c.symnets_compute(shared._model, 0, 2**60, 64, 0, *[None] * 4, 64, *[None] * 4) == 5
    assert c.symnets_error(0) == b"no error"
    assert c.symnets_error(-1) == c.symnets_error(99) == b"unknown error code"
    c.symnets_free(None)
    header = Path(compiler_flags(library).split()[0][2:], "symnets.h").read_text("utf-8")
    codes = re.findall(r"SYMNETS_[A-Z_]+ = (\d+)", header)
    assert [int(code) for code in codes] == list(range(9))
    assert len({c.symnets_error(int(code)) for code in codes}) == 9
    with pytest.raises(MemoryError, match="not enough memory"):
        shared._check(5)


def test_altered_library_is_refused(library, tmp_path):
    content = library.read_bytes()
    path = tmp_path / "altered.so"
    # In strings, in machine code, and in the weights, which are most of the file.
    for place in (content.index(b"not enough memory"), 0x2000, len(content) // 2):
        altered = bytearray(content)
        altered[place] ^= 1
        path.unlink(missing_ok=True)  # a library that is loaded may not change in place
        path.write_bytes(altered)
        with pytest.raises(ValueError, match="has been altered since it was written"):
            SharedModel(path)


def test_other_versions_and_other_libraries_are_refused(library, tmp_path, monkeypatch):
    source = tmp_path / "other.c"
    source.write_text("int nothing(void) { return 0; }\n", encoding="ascii")
    other = tmp_path / "libother.so"
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", other], check=True)
    with pytest.raises(
        ValueError, match="expected a library written by `symnets export`, it has no symnets_"
    ):
        SharedModel(other)
    with pytest.raises(OSError, match="No such file"):
        SharedModel(tmp_path / "none.so")
    monkeypatch.setattr("symnets.deploy._shared_model.ABI_VERSION", 2)
    with pytest.raises(ValueError, match="expected version 2 of the interface, got 1"):
        SharedModel(library)


@pytest.mark.slow
def test_library_for_other_processors_says_so(tmp_path):
    flags = Path("/proc/cpuinfo").read_text("ascii").split()
    force_field = tiny()
    path = export(force_field, tmp_path / "libmodel.so", cpu="x86-64-v4")
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= set(flags):
        assert_equal(call(SharedModel(path), crystal()), force_field, crystal(), 1e-10)
    else:
        with pytest.raises(ValueError, match="for processors with more instructions"):
            SharedModel(path)
    own = export(force_field, tmp_path / "libown.so", cpu="native")
    assert_equal(call(SharedModel(own), crystal()), force_field, crystal(), 1e-10)


def molecule_file(atoms: Atoms) -> str:
    rows = zip(atoms.numbers, atoms.positions.tolist(), strict=True)
    return "".join(f"{z} {x!r} {y!r} {w!r}\n" for z, (x, y, w) in rows)


@pytest.mark.parametrize(
    ("compiler", "source"), [("cc", "energy.c"), ("gfortran", "energy.f90")], ids=["c", "fortran"]
)
def test_example_predicts_what_the_model_predicts(compiler, source, double, library, tmp_path):
    if not shutil.which(compiler):
        pytest.skip(f"no compiler {compiler}")
    strict = ["-Wall", "-Wextra", "-Werror", *(["-std=c99", "-pedantic"] if compiler == "cc" else [])]
    words = [compiler, *strict, EXAMPLES / source, *shlex.split(compiler_flags(library)), "-lm"]
    subprocess.run([*words, "-o", "program"], cwd=tmp_path, check=True)

    def run(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([tmp_path / "program"], input=text, capture_output=True, text=True, check=False)

    done = run(molecule_file(water()))
    numbers = [float(word) for word in done.stdout.split()]
    expected = double(collate(build_graphs([water()], double.cutoff, dtype=torch.float64)).inputs)
    assert numbers[0] == pytest.approx(float(expected.energy), abs=1e-10)
    assert np.array(numbers[1:]).reshape(3, 3) == pytest.approx(expected.forces.numpy(), abs=1e-10)
    failed = run("2 0 0 0\n")
    assert failed.returncode == 1
    assert "the model does not know an element" in failed.stdout + failed.stderr


def test_header_is_c_plus_plus(library, tmp_path):
    if not shutil.which("c++"):
        pytest.skip("no compiler c++")
    source = tmp_path / "program.cpp"
    source.write_text(
        '#include "symnets.h"\nint main() { return symnets_abi_version() == SYMNETS_ABI_VERSION ? 0 : 1; }\n',
        encoding="ascii",
    )
    words = ["c++", "-Wall", "-Wextra", "-Werror", source, *shlex.split(compiler_flags(library))]
    subprocess.run([*words, "-o", "program"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "program"], check=True)


def test_model_without_native_code_is_an_error_that_names_the_layer(tmp_path):
    attention = compiled(SE3Transformer, torch.float64, cutoff=3.5, channels=4, layers=2, heads=2)
    with pytest.raises(CannotLower, match="attention has no native code"):
        export(attention, tmp_path / "libmodel.so")
    assert not list(tmp_path.iterdir())


def test_a_failed_export_keeps_the_older_file(tmp_path, monkeypatch):
    model, path = tiny(), tmp_path / "libmodel.so"
    path.write_text("older", encoding="ascii")
    monkeypatch.setenv("CC", "false")
    with pytest.raises(ValueError, match="false failed"):
        export(model, path)
    assert path.read_text("ascii") == "older"
    assert os.listdir(tmp_path) == ["libmodel.so"]
    monkeypatch.setenv("CC", "no-such-compiler -m64")
    with pytest.raises(ValueError, match=r"no C compiler found, .* \(tried no-such-compiler -m64\)"):
        export(model, path)
    monkeypatch.setenv("CC", "'cc")
    with pytest.raises(ValueError, match=r"no C compiler found, .* \(tried 'cc\)"):
        export(model, path)
    monkeypatch.setenv("PATH", str(tmp_path))
    for empty in ("", "  "):
        monkeypatch.setenv("CC", empty)
        with pytest.raises(ValueError, match=r"no C compiler found, .* \(tried cc, gcc, clang\)"):
            export(model, path)


def test_command_writes_a_library_and_prints_flags(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    force_field = tiny(torch.float32)
    save(force_field, "model.safetensors", extra={"licence": "MIT"})
    assert main(["export", "model.safetensors"]) == 0
    assert re.match(r"libmodel\.so: \d+\.\d MB; \d+\.\d s\n", capsys.readouterr().out)
    shared = SharedModel("libmodel.so")
    assert shared.description["extra"] == {"licence": "MIT"}
    assert_equal(call(shared, water()), force_field, water(), 5e-6)
    assert main(["export", "model.safetensors"]) == 2
    assert "libmodel.so: the file exists" in capsys.readouterr().err
    line = "export model.safetensors -o libmodel.so --overwrite --dtype float64 --cpu native"
    assert main(line.split()) == 0
    assert SharedModel(shutil.copy("libmodel.so", "copy.so")).description["dtype"] == "float64"
    assert main(["export", "model.safetensors", "-o", "new.so", "--species", "O"]) == 2
    assert "the model is compiled already" in capsys.readouterr().err
    assert main(["export", "libmodel.so", "--flags"]) == 0
    assert capsys.readouterr().out == compiler_flags("libmodel.so") + "\n"
    assert main(["export", "none.so", "--flags"]) == 2
    assert "none.so" in capsys.readouterr().err
    assert main(["export", "model.safetensors", "--flags"]) == 2
    assert "expected a shared library" in capsys.readouterr().err


def test_command_compiles_for_the_elements_that_are_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save(ForceField(NequIP(ELEMENTS, cutoff=3.5, channels=4, layers=1, lmax=0)), "model.safetensors")
    line = "export model.safetensors -o libwater.so --species H O --tolerance 1e-2"
    assert main(line.split()) == 0
    assert SharedModel("libwater.so").species == (1, 8)
    with pytest.raises(ValueError, match="does not know an element"):
        call(SharedModel("libwater.so"), crystal())
    assert main(["export", "model.safetensors", "-o", "libiron.so", "--species", "Fe", "O"]) == 2
    assert "the model does not know Fe; its elements are" in " ".join(capsys.readouterr().err.split())


def test_addresses_of_libraries_differ(library, tmp_path):
    """Functions of equal names in two libraries do not take each other's place."""
    again = Path(shutil.copy(library, tmp_path / "copy.so"))
    first, second = (ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL) for path in (library, again))
    addresses = {ctypes.cast(c.symnets_compute, ctypes.c_void_p).value for c in (first, second)}
    assert len(addresses) == 2
