"""Energies, forces and stress of Nequix itself, in float64: run in an environment with `nequix` (JAX).

    python nequix_reference.py FOLDER OUTPUT.json

FOLDER has the .nqx files. The structures are made here and written with their results, so that the comparison
needs neither Nequix nor the same version of ASE.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import ase
import equinox
import jax
import jraph
import numpy
from ase import Atoms
from ase.build import bulk, molecule
from nequix.calculator import NequixCalculator


def structures() -> dict[str, Atoms]:
    """Crystals and molecules, rattled."""
    made = {
        "Cu": bulk("Cu", cubic=True),
        "Si": bulk("Si", cubic=True),
        "NaCl": bulk("NaCl", "rocksalt", a=5.64, cubic=True),
        "GaAs": bulk("GaAs", "zincblende", a=5.65, cubic=True),
        "MgO 2x2x2": bulk("MgO", "rocksalt", a=4.21) * (2, 2, 2),
        "Ti": bulk("Ti", "hcp", a=2.95, c=4.68),
        "water": molecule("H2O"),
        "benzene": molecule("C6H6"),
    }
    for seed, atoms in enumerate(made.values()):
        atoms.rattle(0.05, seed=seed)
        # Nequix rounds positions and cells to float32, whatever the dtype of its arithmetic.
        atoms.set_cell(atoms.cell.array.astype(numpy.float32))
        atoms.positions = atoms.positions.astype(numpy.float32)
    return made


def main() -> None:
    """Results of all models on all structures."""
    folder, output = map(Path, sys.argv[1:])
    document = {"versions": {m.__name__: m.__version__ for m in (ase, jax, equinox, numpy)}, "models": {}}
    document["versions"]["nequix"] = version("nequix")
    document["structures"] = {
        name: {
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.tolist(),
            "pbc": atoms.pbc.tolist(),
        }
        for name, atoms in structures().items()
    }
    for path in sorted(folder.glob("*.nqx")):
        jax.config.update("jax_enable_x64", False)  # weights on disk are float32
        calculator = NequixCalculator(model_path=path, use_kernel=False)
        jax.config.update("jax_enable_x64", True)
        calculator.model = jax.tree.map(
            lambda leaf: leaf.astype(jax.numpy.float64) if equinox.is_inexact_array(leaf) else leaf,
            calculator.model,
        )
        # One size for all structures, so that a model is compiled twice: with and without a cell.
        calculator._pad_graph_jax = lambda graph, _: jraph.pad_with_graphs(graph, 24, 2048, 2)
        rows = document["models"][path.stem] = {}
        for name, atoms in structures().items():
            atoms.calc = calculator
            rows[name] = {
                "energy": atoms.get_potential_energy(),
                "forces": atoms.get_forces().tolist(),
                "stress": atoms.get_stress(voigt=False).tolist() if atoms.pbc.all() else None,
            }
            print(path.stem, name, rows[name]["energy"], flush=True)
    output.write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
