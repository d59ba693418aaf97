"""Path integrals by i-PI with a symnets potential, as docs/how-to/ipi.md describes them."""

import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from symnets.simulate import SymnetsCalculator
from tests.simulate.programs import code_blocks, install, save_potential

pytestmark = pytest.mark.slow
IPI = "ipi==3.3.1"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return install(tmp_path_factory.mktemp("ipi"), IPI)


def prepare(folder: Path) -> tuple[str, str]:
    """Write the files of the page; return the input of i-PI and the element that calls Python directly."""
    save_potential(folder / "fast.safetensors")
    client, structure, driver, box = code_blocks("ipi.md", "python")
    (folder / "client.py").write_text(client)
    (folder / "symnets_pes.py").write_text(driver)
    subprocess.run([sys.executable, "-c", structure + box], cwd=folder, check=True)
    simulation, direct = code_blocks("ipi.md", "xml")
    return simulation.replace("<total_steps> 200 ", "<total_steps> 10 "), direct


def run_ipi(folder: Path, environment: dict[str, str]) -> subprocess.Popen:
    """Start i-PI on input.xml."""
    path = environment["PYTHONPATH"].partition(":")[0]
    command = [sys.executable, f"{path}/bin/i-pi", "input.xml"]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def check_output(folder: Path) -> None:
    """All steps are in the output; the potential of the first is the calculator's, that of all conserved."""
    rows = np.loadtxt(folder / "ethanol.out")
    assert len(rows) == 11
    atoms = molecule("CH3CH2OH")
    atoms.calc = SymnetsCalculator(folder / "fast.safetensors")
    # All beads start at the same place; the file has nine digits of Å and of eV.
    assert rows[0, 4] == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    assert np.ptp(rows[:, 2]) < 1e-2 * np.ptp(rows[:, 4]) + 1e-4


def test_beads_move_by_the_forces_of_a_client(tmp_path: Path, environment: dict[str, str]) -> None:
    simulation, _ = prepare(tmp_path)
    address = f"symnets-{uuid.uuid4().hex[:8]}"
    (tmp_path / "input.xml").write_text(simulation.replace("<address> symnets ", f"<address> {address} "))
    server = run_ipi(tmp_path, environment)
    try:
        while not Path(f"/tmp/ipi_{address}").exists() and server.poll() is None:
            time.sleep(0.1)
        client = [sys.executable, "client.py", address]
        subprocess.run(client, cwd=tmp_path, env=environment, timeout=120, check=False)
        output, _ = server.communicate(timeout=60)
    finally:
        server.kill()
    assert server.returncode == 0, output
    check_output(tmp_path)


def test_beads_move_by_the_forces_of_a_class(tmp_path: Path, environment: dict[str, str]) -> None:
    simulation, direct = prepare(tmp_path)
    before, rest = simulation.split("<ffsocket", 1)
    (tmp_path / "input.xml").write_text(before + direct + rest.split("</ffsocket>", 1)[1])
    server = run_ipi(tmp_path, environment)
    output, _ = server.communicate(timeout=120)
    assert server.returncode == 0, output
    check_output(tmp_path)
