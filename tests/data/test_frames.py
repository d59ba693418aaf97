"""Frames read one by one, and graphs on demand, equal those of all files read at once."""

import os
import pickle
import signal
import sqlite3
import time

import ase.db
import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.data import (
    Frames,
    GraphsOnDemand,
    GraphSummary,
    LabelKeys,
    Loader,
    Workers,
    build_graphs,
    collate,
    read_files,
    statistics,
    statistics_of_summaries,
)


def labelled(n=7):
    """Copper and water alternately, and an isolated atom, with random labels."""
    rng, frames = np.random.default_rng(0), []
    for index in range(n):
        atoms = bulk("Cu", cubic=True) if index % 2 else molecule("H2O")
        atoms.rattle(0.05, seed=index)
        atoms.info["config_type"] = "bulk" if index % 2 else "é"
        results = {"energy": -float(index), "forces": rng.normal(size=(len(atoms), 3))}
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    alone = bulk("Cu")
    alone.info["config_type"] = "IsolatedAtom"
    alone.calc = SinglePointCalculator(alone, energy=1.5)
    return [*frames[:3], alone, *frames[3:]]


def written(path, frames):
    if path.suffix in (".db", ".aselmdb"):
        with ase.db.connect(str(path), type=path.suffix[1:]) as database:
            for atoms in frames:
                database.write(atoms, key_value_pairs={"config_type": atoms.info["config_type"]})
    else:
        ase.io.write(path, frames)
    return path


def assert_equal(one, other):
    assert one.numbers.tolist() == other.numbers.tolist()
    np.testing.assert_array_equal(one.positions, other.positions)
    assert one.info == other.info
    assert one.calc.results.keys() == other.calc.results.keys()
    for name, value in one.calc.results.items():
        np.testing.assert_array_equal(value, other.calc.results[name])


@pytest.mark.parametrize("kind", ["xyz", "db", "aselmdb", "traj"])
def test_frames_equal_those_read_at_once(kind, tmp_path):
    if kind == "aselmdb":
        pytest.importorskip("ase_db_backends")
    paths = [written(tmp_path / f"{name}.{kind}", labelled(n)) for name, n in (("a", 7), ("b", 4))]
    frames = Frames(paths)
    expected = read_files(paths)
    assert len(frames) == len(expected) == 13
    for index in (12, *range(13), -1):  # in any order
        name, atoms = expected[index]
        assert frames.name(index) == name
        assert_equal(frames[index], atoms)
    assert [len(atoms) for atoms in frames[2:5]] == [3, 1, 4]
    assert frames.isolated().tolist() == [3, 11]
    (there,) = Workers(lambda index: frames[index].positions, 1).map([5])  # the file is open here, too
    np.testing.assert_array_equal(there, expected[5][1].positions)
    copy = pickle.loads(pickle.dumps(frames))  # as workers get them where Python does not fork
    assert_equal(copy[5], expected[5][1])


def test_lattice_vectors_after_a_frame_and_blank_lines_at_the_end(tmp_path):
    path = tmp_path / "a.xyz"
    atom = "1\nProperties=species:S:1:pos:R:3\nH {} 0 0\n"
    path.write_text(atom.format(1) + "VEC1 9 0 0\nVEC2 0 9 0\nVEC3 0 0 9\n" + atom.format(2) + "\n\n")
    frames = Frames([path])
    assert [atoms.positions[0, 0] for atoms in frames] == [1.0, 2.0]
    for one, (_, other) in zip(frames, read_files([path]), strict=True):
        np.testing.assert_array_equal(one.cell.array, other.cell.array)


def test_keys_and_conventions_are_those_of_read_files(tmp_path):
    atoms = bulk("Cu")
    atoms.info |= {"e": 3.0, "stress": np.arange(9.0).reshape(3, 3) - 4.0}
    ase.io.write(tmp_path / "a.xyz", [atoms, atoms])
    options = {"energy_key": "e", "stress_convention": "vasp"}
    expected = read_files([tmp_path / "a.xyz"], **options)[1][1]
    assert_equal(Frames([tmp_path / "a.xyz"], LabelKeys(**options))[1], expected)
    with pytest.raises(ValueError, match=r"a\.xyz, frame 0: no forces under the key 'forces'"):
        Frames([tmp_path / "a.xyz"], LabelKeys(**options), require=["forces"])[0]


def test_files_that_cannot_be_read_frame_by_frame_are_refused(tmp_path):
    ase.io.write(tmp_path / "a.xyz.gz", labelled())
    with pytest.raises(ValueError, match=r"a\.xyz\.gz: a compressed file .*; decompress it first"):
        Frames([tmp_path / "a.xyz.gz"])
    ase.io.write(tmp_path / "a.cfg.xsf", [bulk("Cu")] * 3, format="xsf")
    with pytest.raises(ValueError, match=r"3 structures in the format xsf, .* set data\.in_memory to true"):
        Frames([tmp_path / "a.cfg.xsf"])
    ase.io.write(tmp_path / "one.cif", bulk("Cu"))
    assert len(Frames([tmp_path / "one.cif"])[0]) == 1


def test_a_file_that_changed_since_is_an_error_with_the_name_of_the_frame(tmp_path):
    path = written(tmp_path / "a.xyz", labelled())
    frames = Frames([path])
    path.write_text(path.read_text()[:300])
    with pytest.raises(ValueError, match=r"a\.xyz, frame 6: cannot be read"):
        frames[6]


def test_a_database_that_another_process_locks_is_an_error(tmp_path, monkeypatch):
    from symnets.data import _read_database

    path = written(tmp_path / "a.db", labelled())
    frames = Frames([path])
    monkeypatch.setattr(_read_database, "_WAIT", 0.01)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("begin exclusive")
        with pytest.raises(ValueError, match="the database is locked by another process"):
            Frames([path])
        other.execute("rollback")
    other.close()
    assert len(frames[0]) == 3


@pytest.fixture
def graphs(tmp_path):
    frames = Frames([written(tmp_path / "a.db", labelled(12))])
    rows = np.setdiff1d(np.arange(len(frames)), frames.isolated())
    return GraphsOnDemand(frames, rows, 3.0, dtype=torch.float64)


def assert_same_batches(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        for name, value in other.inputs.to_dict().items():
            assert torch.equal(one.inputs[name].nan_to_num(7.0), value.nan_to_num(7.0)), name
        assert torch.equal(one.targets.energy, other.targets.energy)


def test_graphs_on_demand_are_those_in_memory(graphs):
    expected = build_graphs([atoms for atoms in labelled(12) if len(atoms) > 1], 3.0, dtype=torch.float64)
    here = Loader(expected, 5, shuffle=True, seed=1)
    for batch, other in zip(Loader(graphs, 5, shuffle=True, seed=1).epoch(3), here.epoch(3), strict=True):
        for name, value in other.inputs.to_dict().items():
            assert torch.equal(batch.inputs[name], value), name
    assert len(graphs[2:9]) == 7
    assert torch.equal(graphs[2:9][1].pos, graphs[3].pos)
    assert statistics(expected) == statistics_of_summaries([GraphSummary.of(graph) for graph in graphs])


def test_batches_do_not_depend_on_the_number_of_workers(graphs):
    alone, before = Loader(graphs, 3, shuffle=True, seed=2), torch.get_rng_state()
    loader = Loader(graphs, 3, shuffle=True, seed=2, workers=2)
    next(loader.epoch(0))  # an epoch that stops before its end
    assert_same_batches(loader.epoch(1, 2), alone.epoch(1, 2))
    assert_same_batches(loader.epoch(2), alone.epoch(2))
    part = Loader(graphs, 4, seed=2, part=(1, 2), workers=1)
    assert_same_batches(part.epoch(0), Loader(graphs, 4, seed=2, part=(1, 2)).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


def damaged(item):
    if item == 2:
        raise ValueError("a.xyz, frame 2: no energy")
    if item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_errors_of_workers_keep_their_message_and_ended_workers_are_reported():
    results = Workers(damaged, 1).map([0, 1, 2, 3])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match=r"^a\.xyz, frame 2: no energy$"):
        next(results)
    with pytest.raises(ChildProcessError, match="a process that reads data ahead has ended"):
        list(Workers(damaged, 1).map([5, 5]))


def slow_group(item):
    time.sleep(0.05)
    return os.getpgid(0), item


def test_signals_to_the_group_do_not_reach_workers():
    results = list(Workers(slow_group, 2).map(range(4)))
    assert [item for _, item in results] == list(range(4))
    assert os.getpgid(0) not in {group for group, _ in results}


def test_collated_labels_that_are_missing_are_nan(graphs):
    batch = collate([graphs[0], graphs[1]])
    assert batch.targets.stress.isnan().all()
    assert batch.targets.forces.isfinite().all()
