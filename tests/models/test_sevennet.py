"""SevenNet: the same numbers as SevenNet's own code, and the laws of physics."""

import json
import sys
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import molecule

from symnets.data import from_ase
from symnets.models import ForceField, SevenNet, foundation_model, from_sevennet, load, save
from symnets.models._sevennet_weights import SevenNetLayer, SevenNetWeights
from symnets.ops import TensorProductScatter
from symnets.simulate import compile, compile_error
from symnets.testing import assert_lawful
from tests.models.sevennet_reference.structures import STRUCTURES, TINY

REFERENCE = Path(__file__).parent / "sevennet_reference"
NETS = (
    "uneven widths",
    "polynomial envelope",
    "parity, species",
    "solid harmonics",
    "fidelities",
    "universal, parity, fidelities",
)
PUBLISHED = ("7net-0", "7net-0_22may2024", "7net-l3i5", "7net-mf-0, PBE", "7net-mf-0, R2SCAN")
SMALL = {"cutoff": 4.0, "irreps": ("4x0e", "4x0e+3x1e+2x2e", "4x0e"), "radial_hidden": (8,)}


@cache
def reference(name: str) -> dict[str, Any]:
    """Arrays of a file of references, and its header."""
    with np.load(REFERENCE / name, allow_pickle=False) as file:
        return {**file, "header": json.loads(str(file["header"]))}


def layer(*, features: str, gate: str, paths: list[list[Any]]) -> SevenNetLayer:
    """A layer from JSON."""
    return SevenNetLayer(features, gate, tuple((i, degree, out) for i, degree, out in paths))


def tiny(name: str) -> SevenNetWeights:
    """Weights of a small net in SevenNet's order."""
    file = reference("tiny.npz")
    net, start = file["header"]["nets"][name], f"{name}/weights/"
    return SevenNetWeights(
        tuple(net["species"]),
        net["arguments"],
        tuple(layer(**fields) for fields in net["layers"]),
        {key.removeprefix(start): torch.from_numpy(file[key]) for key in file if key.startswith(start)},
        net["modality"],
        net["n_modalities"],
    )


@cache
def tiny_force_field(name: str) -> ForceField:
    """The small net in float64, all but the first without kernels, which take seconds to compile."""
    force_field = ForceField(tiny(name).model(torch.float64)).eval()
    for module in force_field.modules():
        if isinstance(module, TensorProductScatter) and name != NETS[0]:
            module.implementation = "plain"
    return force_field


def assert_agrees(force_field: ForceField, atoms: Any, expected: dict[str, Any], start: str) -> None:
    """Both compute in float64: what remains is rounding, 1e-13 for the 192 atoms at -900 eV."""
    out = force_field(from_ase(atoms, force_field.cutoff, dtype=torch.float64))
    assert out.energy.item() == pytest.approx(float(expected[f"{start}/energy"]), abs=1e-10)
    np.testing.assert_allclose(out.forces, expected[f"{start}/forces"], rtol=0, atol=1e-11)
    if out.stress is not None:
        ours = out.stress[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        np.testing.assert_allclose(ours, expected[f"{start}/stress"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("structure", TINY)
@pytest.mark.parametrize("name", NETS)
def test_small_nets_agree_with_sevennet(name: str, structure: str) -> None:
    assert_agrees(tiny_force_field(name), TINY[structure], reference("tiny.npz"), f"{name}/{structure}")


@pytest.mark.slow
@pytest.mark.parametrize("model", PUBLISHED)
def test_published_potentials_agree_with_sevennet(model: str, tmp_path: Path) -> None:
    pytest.importorskip("sevenn", reason="only SevenNet can read its checkpoints: symnets[sevennet]")
    checkpoint, _, modality = model.partition(", ")
    if modality:  # its fan-in includes the fidelities: weights are float32 times a factor
        force_field = from_sevennet(checkpoint, modality=modality, dtype=torch.float64)
    else:
        save(from_sevennet(checkpoint), tmp_path / "model")
        force_field = load(tmp_path / "model", dtype=torch.float64)  # float32 holds every bit of the weights
    for structure, atoms in STRUCTURES.items():
        assert_agrees(force_field, atoms, reference("published.npz"), f"{model}/{structure}")


def test_conversion_says_what_it_needs() -> None:
    try:
        import sevenn  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'symnets\[sevennet\]'"):
            from_sevennet("7net-0")
    else:
        with pytest.raises(ValueError, match="modality: this network has the fidelities R2SCAN, PBE; choose"):
            from_sevennet("7net-mf-0")
        with pytest.raises(ValueError, match="modality: this network has no fidelities to choose from"):
            from_sevennet("7net-0", modality="PBE")


def test_only_a_checkpoint_that_is_no_file_counts_as_a_failed_download(monkeypatch, tmp_path) -> None:
    """SevenNet downloads a checkpoint by its name, and reads a file."""
    errors = {"file": PermissionError(13, "Permission denied"), "7net-omni": ConnectionError("no network")}

    def load_checkpoint(checkpoint: str) -> None:
        raise errors[Path(checkpoint).name]

    monkeypatch.setitem(sys.modules, "sevenn", ModuleType("sevenn"))
    monkeypatch.setitem(sys.modules, "sevenn.util", SimpleNamespace(load_checkpoint=load_checkpoint))
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match=r"^\[Errno 13\] Permission denied$"):
        from_sevennet(tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r"7net-omni: SevenNet could not download .*: no network. Try again"):
        from_sevennet("7net-omni")


def test_foundation_models_are_converted_once_for_their_fidelity(monkeypatch, tmp_path) -> None:
    calls = []

    def convert(checkpoint: str, *, modality: str | None) -> ForceField:
        calls.append((checkpoint, modality))
        return tiny_force_field("fidelities")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SYMNETS_DATA", raising=False)
    monkeypatch.setattr("symnets.models._foundation_file.from_sevennet", convert)
    for _ in range(2):
        assert foundation_model("7net-mf-0-r2scan").species == (1, 6, 8)
    assert calls == [("7net-mf-0", "R2SCAN")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["solid harmonics", "fidelities"])
def test_compiled_nets_have_the_same_forces(name: str) -> None:
    force_field = tiny_force_field(name)
    compiled = compile(force_field, tolerance=1e-3)
    graph = from_ase(TINY["crystal"], force_field.cutoff, dtype=torch.float64)
    assert compile_error(force_field, compiled, graph).forces < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("parity", [False, True])
def test_laws(parity: bool) -> None:
    """Rotations always; reflections where parity is kept."""
    torch.manual_seed(0)
    irreps = ("4x0e", "4x0e+3x1o+2x2e", "4x0e") if parity else SMALL["irreps"]
    model = SevenNet(["H", "C", "O"], **{**SMALL, "irreps": irreps}, parity=parity, switch_on=3.0)
    assert_lawful(ForceField(model).eval(), without=() if parity else ("reflection",))


@pytest.mark.slow
def test_laws_of_solid_harmonics_and_biases() -> None:
    torch.manual_seed(0)
    model = SevenNet(["H", "C", "O"], **SMALL, switch_on=3.0, solid_harmonics=True, bias=True)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    assert_lawful(ForceField(model).eval(), without=("reflection",))


def test_without_parity_mirror_images_differ() -> None:
    """Vectors times vectors give vectors: a triple product tells left from right, from three layers on."""
    torch.manual_seed(0)
    irreps = ("4x0e", *["4x0e+3x1e+2x2e"] * 3, "4x0e")
    model = ForceField(SevenNet(["H", "O"], **{**SMALL, "irreps": irreps})).double().eval()
    atoms = molecule("H2O2")
    mirrored = atoms.copy()
    mirrored.positions[:, 0] *= -1
    one, other = (model(from_ase(a, 4.0, dtype=torch.float64)).energy for a in (atoms, mirrored))
    assert (one - other).abs() > 1e-6


def test_precision_of_the_file_is_that_of_the_weights(tmp_path: Path) -> None:
    """Weights are float32: a float32 file loses nothing."""
    weights = tiny("uneven widths")
    save(ForceField(weights.model(torch.float32)), tmp_path / "model")
    ours = load(tmp_path / "model", dtype=torch.float64)
    exact = weights.model(torch.float64).state_dict()
    for name, value in ours.energy_model.state_dict().items():
        assert torch.equal(value, exact[name]), name


def test_conversion_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    tiny("uneven widths").model(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="the first and last even scalars"):
        SevenNet(["H"], irreps=("4x0e", "4x0e+4x1e"))
    with pytest.raises(ValueError, match="mean_neighbors: expected one value or 2"):
        SevenNet(["H"], **SMALL, mean_neighbors=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="no path leads from 4x0e"):
        SevenNet(["H"], irreps=("4x0e", "4x0e+2x3e", "4x0e"))
    with pytest.raises(ValueError, match=r"switch_on: expected a distance below the cutoff of 4.0 Å, got 5"):
        SevenNet(["H"], **SMALL, switch_on=5.0)
