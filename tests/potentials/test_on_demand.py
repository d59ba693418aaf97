"""Trainings on graphs made on demand equal those on graphs in memory bit for bit."""

from dataclasses import replace

import ase.db
import ase.io
import pytest
import torch

from symnets.data import read_archive
from symnets.potentials import load_data, train
from symnets.potentials._identity import data_digest


@pytest.fixture(params=["xyz", pytest.param("db", marks=pytest.mark.slow)])
def lacking(copper, request, tmp_path):
    """The copper frames as extended XYZ or as a database; every third lacks the stress, one the energy."""
    frames = ase.io.read(copper, ":")
    for index, atoms in enumerate(frames):
        if index % 3 == 0:
            del atoms.calc.results["stress"]
    del frames[4].calc.results["energy"]
    alone = frames[1][:1].copy()
    alone.info["config_type"] = "IsolatedAtom"
    frames.insert(2, alone)
    path = tmp_path / f"copper.{request.param}"
    if request.param == "xyz":
        ase.io.write(path, frames)
    else:
        with ase.db.connect(path) as database:
            for atoms in frames:
                database.write(atoms, key_value_pairs=atoms.info)
    return str(path)


def over(config, path, **data):
    return replace(
        config, data=replace(config.data, train=path, in_memory=False, isolated_atoms=None, **data)
    )


def test_graphs_statistics_and_hash_are_those_in_memory(config, lacking):
    config = replace(config, loss=replace(config.loss, energy=0.0))  # the isolated atom has no energy
    on_demand = over(config, lacking)
    train_there, validation_there, stats_there = load_data(on_demand)
    train_here, validation_here, stats_here = load_data(
        replace(on_demand, data=replace(on_demand.data, in_memory=True))
    )
    assert stats_there == stats_here
    for there, here in ((train_there, train_here), (validation_there, validation_here)):
        assert len(there) == len(here)
        for one, other in zip(there, here, strict=True):
            for name, value in other.to_dict().items():
                assert torch.equal(one[name].nan_to_num(7.0), value.nan_to_num(7.0)), name
    assert data_digest(train_there, validation_there, stats_there) == data_digest(
        train_here, validation_here, stats_here
    )


def test_a_training_begun_in_memory_is_resumed_on_demand(config, lacking):
    """Begun in memory and stopped, it ends on demand as it would have ended in memory."""
    config = replace(
        config,
        loss=replace(config.loss, energy=0.0),
        optimizer=replace(config.optimizer, epochs=3),
        checkpoint_every=4,
    )
    on_demand = over(config, lacking)
    whole = replace(on_demand, data=replace(on_demand.data, in_memory=True), output=f"{config.output}-whole")
    train(whole, progress=False)
    ends = []
    for path in (whole.output, config.output):
        if path == config.output:
            begun = replace(whole, output=path, max_minutes=1e-9)
            assert train(begun, progress=False).step == 1
            assert train(on_demand, resume=True, progress=False).step == 9
        ends.append(read_archive(f"{path}/checkpoint.safetensors", "checkpoint")[0])
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_tensors_need_data_in_memory(config, lacking):
    from symnets.potentials import TensorConfig

    tensors = {"dipole": TensorConfig(key="dipole")}
    with pytest.raises(ValueError, match=r"tensors: expected with data\.in_memory"):
        load_data(over(replace(config, tensors=tensors), lacking))
