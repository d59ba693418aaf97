"""symnets works in one environment with each of mace-torch, nequip and sevenn, which need different e3nn.

Each environment is new and takes minutes, most of them for torch:

    pytest -n 0 -m environments
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ase.build import molecule

from symnets.data import from_ase
from symnets.models import ForceField, NequIP, save

ROOT = Path(__file__).parents[1]
PEERS = {
    "mace-torch": """
import numpy as np
from e3nn import o3
from mace.calculators import MACECalculator
from mace.modules import RealAgnosticResidualInteractionBlock, ScaleShiftMACE
from symnets.models import from_mace

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)  # of its Clebsch-Gordan coefficients
peer = ScaleShiftMACE(
    r_max=4.0, num_bessel=4, num_polynomial_cutoff=5, max_ell=2, num_interactions=2, num_elements=2,
    interaction_cls=RealAgnosticResidualInteractionBlock,
    interaction_cls_first=RealAgnosticResidualInteractionBlock,
    hidden_irreps=o3.Irreps("4x0e+4x1o"), MLP_irreps=o3.Irreps("4x0e"), atomic_energies=np.zeros(2),
    avg_num_neighbors=2.0, atomic_numbers=[1, 8], correlation=2, gate=torch.nn.functional.silu,
    atomic_inter_scale=1.0, atomic_inter_shift=0.0,
)
converted = from_mace(peer, dtype=torch.float64)
calculator = MACECalculator(models=[peer], device="cpu", default_dtype="float64")
""",
    "nequip": """
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state

set_global_state()
peer = NequIPGNNModel(
    seed=0, model_dtype="float32", compile_mode="eager", r_max=4.0, type_names=["H", "O"], num_layers=2,
    l_max=1, parity=True, num_features=4, avg_num_neighbors=2.0,
)
converted = calculator = None
""",
    "sevenn": """
from sevenn.calculator import SevenNetCalculator
from symnets.models import from_sevennet

calculator = SevenNetCalculator("7net-0", device="cpu")
peer, converted = calculator.model, from_sevennet("7net-0")
""",
}
SCRIPT = """
import json, sys, warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import torch
from ase.build import molecule
from symnets.data import from_ase
from symnets.models import load

def energy(force_field):
    dtype = next(force_field.parameters()).dtype
    return force_field(from_ase(molecule("H2O"), force_field.cutoff, dtype=dtype)).energy.item()

ours = energy(load(sys.argv[1]))
{peer}
print(json.dumps({{
    "energy": ours,
    "weights": sum(p.numel() for p in peer.parameters()),
    "peer": calculator and calculator.get_potential_energy(molecule("H2O")),
    "converted": converted and energy(converted),
    "e3nn": version("e3nn"),
}}))
"""


@pytest.mark.environments
@pytest.mark.parametrize("peer", PEERS)
def test_symnets_works_beside(peer: str, tmp_path: Path) -> None:
    """The energy of a model file is the same under each release of e3nn, and the peer builds its model."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    found = subprocess.run(
        [*pip, "download", "--no-deps", "-d", tmp_path / "index", peer], capture_output=True
    )
    if found.returncode:
        pytest.skip(f"no index that has {peer} can be reached: {found.stderr.decode()[-200:]}")
    subprocess.run([*pip, "install", "torch>=2.9,<2.14", str(ROOT), peer], check=True)

    torch.manual_seed(0)
    model = ForceField(
        NequIP(["H", "O"], cutoff=4.0, lmax=2, layers=2, channels=4, radial_hidden=(8,)).double()
    )
    save(model, tmp_path / "model")
    expected = model(from_ase(molecule("H2O"), 4.0, dtype=torch.float64)).energy.item()

    script = SCRIPT.format(peer=PEERS[peer])
    command = [python, "-c", script, tmp_path / "model"]
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    result = json.loads(out.splitlines()[-1])
    print(result)
    assert result["energy"] == pytest.approx(expected, abs=1e-10)  # float64, eV
    assert result["weights"] > 0
    assert result["converted"] == pytest.approx(result["peer"], abs=1e-4)  # float32; None for nequip
