"""Tangent kernel of a potential, energies and forces, before and after training on acetylacetone.

    python examples/kernel_of_a_potential.py runs/kernel

A small NequIP learns 200 frames of molecular dynamics at 300 K (acac/train_300K.xyz of BOTNet-datasets, in
the folder SYMNETS_DATA). Its tangent kernel, the scalar products of the gradients of all 200 energies and
9,000 force components, is computed for the initial and for the trained weights. For both the script prints

- the centred alignment of the kernel of energies with the energies. The raw one is near 1 for any net: the
  frames have one composition, so that a constant explains nearly all of their energies;
- the errors of kernel regression on 50 held-out frames, from energies alone, and from energies and forces,
  beside those of the net itself.

Four minutes on one core. Results:

|                                              | initial kernel | final kernel | net   |
|----------------------------------------------|----------------|--------------|-------|
| raw, centred alignment                       | 0.998, 0.072   | 1.000, 0.177 |       |
| energy, forces, from energies, meV, meV/Å    | 55, 381        | 41, 340      |       |
| energy, forces, from energies and forces     | 29, 90         | 17, 68       | 40, 138 |

Training aligns the kernel with the energies. With the final kernel, 200 energies predict new ones as well as
the net does, and energies and forces together predict both twice as well as the net: the net was stopped
early, and least squares with its features fit what it had not fitted yet. The initial kernel is worse in all
cases.
"""

import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch_geometric.data import Batch

from symnets.data import AtomGraph
from symnets.models import load
from symnets.observables import potential_tangent_kernel
from symnets.observables.kernels import alignment, effective_rank, kernel_regression
from symnets.potentials import (
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
    build_model,
    load_data,
    train,
)

N_TRAIN, N_TEST = 200, 50
MEV = 1000


def configuration(output: str) -> TrainConfig:
    """Configuration of a small net, whose training takes a minute or two."""
    return TrainConfig(
        data=DataConfig(
            train="acac/train_300K.xyz",
            n_train=N_TRAIN,
            n_validation=N_TEST,
            isolated_atoms="acac/isolated_atoms.xyz",
        ),
        output=output,
        model=ModelConfig(
            "NequIP", cutoff=4.0, lmax=1, channels=8, layers=2, parity=False, radial_hidden=(16,)
        ),
        loss=LossConfig(energy=20.0, forces=1.0),
        optimizer=OptimizerConfig(learning_rate=0.01, batch_size=5, epochs=60, average=0.99),
        dtype="float64",
    )


def labels(graph: AtomGraph, mean: Tensor) -> Tensor:
    """Energies minus their mean in the training set, eV, then force components, eV/Å."""
    return torch.cat([graph.energy - mean, graph.forces.flatten()])  # pyright: ignore


def errors(found: Tensor, expected: Tensor) -> tuple[float, float]:
    """RMS errors of energies in meV and of force components in meV/Å."""
    squares = (found - expected).square()
    return MEV * float(squares[:N_TEST].mean().sqrt()), MEV * float(squares[N_TEST:].mean().sqrt())


def measure(model: nn.Module, learn: AtomGraph, test: AtomGraph) -> dict[str, float]:
    """Alignment, rank, and errors of kernel regression of one set of weights."""
    kernel, cross = potential_tangent_kernel(model, learn), potential_tangent_kernel(model, test, learn)
    mean = learn.energy.mean()  # pyright: ignore[reportAttributeAccessIssue]
    y, y_test = labels(learn, mean), labels(test, mean)
    result = {
        "raw alignment": float(alignment(kernel.energy_energy, learn.energy)),  # pyright: ignore
        "centred alignment": float(alignment(kernel.energy_energy, y[:N_TRAIN], centered=True)),
        "effective rank of energies": float(effective_rank(kernel.energy_energy)),
    }
    for name, rows, ridge in (
        ("energies", slice(0, N_TRAIN), 1e-8),
        ("energies and forces", slice(None), 1e-6),
    ):
        matrix, columns = kernel.matrix[rows, rows], cross.matrix[:, rows]
        fitted = kernel_regression(matrix, y[rows], columns, ridge=ridge * float(matrix.diagonal().mean()))
        assert fitted.test_outputs is not None
        energy, force = errors(fitted.test_outputs, y_test)
        result[f"energy, from {name}, meV"] = energy
        result[f"forces, from {name}, meV/Å"] = force
    return result


def net_errors(model: nn.Module, test: AtomGraph, mean: Tensor) -> tuple[float, float]:
    """Errors of the net itself."""
    out = model.eval()(test)
    return errors(torch.cat([out.energy - mean, out.forces.flatten()]), labels(test, mean))


def main(output: str) -> int:
    """Train, compute both kernels, and print the table of results."""
    config = configuration(output)
    torch.manual_seed(config.seed)
    *parts, stats = load_data(config)
    initial = build_model(config, stats)
    learn, test = (Batch.from_data_list(part) for part in parts)  # pyright: ignore
    file = Path(output) / "model.safetensors"
    if not file.exists():
        train(config)
    trained = load(file)
    own = net_errors(trained, test, learn.energy.mean())  # pyright: ignore
    before, after = (measure(model, learn, test) for model in (initial, trained))  # pyright: ignore
    table = Table("", "initial kernel", "final kernel", "net itself")
    for name in before:
        net = f"{own[0]:.1f}" if name.startswith("energy") else f"{own[1]:.1f}" if "forces," in name else ""
        table.add_row(name, f"{before[name]:.4g}", f"{after[name]:.4g}", net)
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    sys.exit(main(sys.argv[1]))
