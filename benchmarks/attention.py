"""How long do an equivariant attention layer and the SE(3)-Transformer take, compared with those in e3nn?

    OMP_NUM_THREADS=1 python benchmarks/attention.py --acac PATH/TO/train_300K.xyz

The peer is written with e3nn: `o3.TensorProduct` on every edge for keys and values, which are stored, a
softmax by scatter, `o3.Linear` and `e3nn.nn.Gate` (`workers/se3_transformer_e3nn.py`). It has the same
numbers of weights. Both have 32 channels of 0e, 1o and 2e, 4 heads, 8 Bessel functions, a radial network with
hidden layers [64, 64] and a cutoff of 5 Å, in float32.

- layer: one attention layer, 32x0e+32x1o+32x2e to the same, from given features, radial basis and spherical
  harmonics;
- network: the SE(3)-Transformer with 3 layers, as a force field.

`evaluate` is the forward pass and the gradient with respect to features, basis and spherical harmonics
(layer), or energy and forces (network). `train` is a step of training: the gradient, with respect to all
weights, of a loss of these outputs and gradients; for the network also the step of Adam.

Systems: acac, 5 frames of acetylacetone of 15 atoms; cu64 and cu512, rattled copper.

Both run alternately in one process. A ratio is the median over rounds of e3nn's time divided by symnets' time
in the same round. Calls of a first round, in which both compile, do not count.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import e3nn
import torch
import tyro
from ase.io import read
from e3nn import o3
from machine import machine
from systems import structures
from torch import Tensor, nn
from workers.se3_transformer_e3nn import Attention as E3nnAttention
from workers.se3_transformer_e3nn import E3nnSE3Transformer

from symnets.data import AtomGraph, build_graphs, collate
from symnets.models import ForceField, SE3Transformer
from symnets.nn import Attention, EdgeGeometry

HERE = Path(__file__).parent
CUTOFF, CHANNELS, HEADS, BASIS, HIDDEN, LAYERS = 5.0, 32, 4, 8, (64, 64), 3
IRREPS = o3.Irreps(f"{CHANNELS}x0e+{CHANNELS}x1o+{CHANNELS}x2e")
System = Literal["acac", "cu64", "cu512"]
Mode = Literal["evaluate", "train"]


@dataclass
class Benchmark:
    """Time of equivariant attention."""

    acac: Path | None = None
    """Training frames of acetylacetone; without them only copper is timed."""
    systems: tuple[System, ...] = ("acac", "cu64", "cu512")
    parts: tuple[Literal["layer", "network"], ...] = ("layer", "network")
    modes: tuple[Mode, ...] = ("evaluate", "train")
    rounds: int = 9
    output: Path = HERE / "results" / "attention.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all cases; print and save after each."""
        torch.manual_seed(0)
        where = machine() | {"threads": torch.get_num_threads()}
        versions = {"torch": torch.__version__, "e3nn": e3nn.__version__}
        document = {"question": __doc__, "machine": where, "versions": versions}
        document |= {"rounds": self.rounds, "rows": self.rows}
        for system in self.systems:
            if system == "acac" and self.acac is None:
                continue
            graph = self.graph(system)
            for part in self.parts:
                contestants = (layers if part == "layer" else networks)(graph)
                for mode in self.modes:
                    size = {"atoms": len(graph.z), "edges": graph.edge_index.shape[1]}
                    row = {"system": system, "part": part, "mode": mode} | size
                    self.rows.append(row | alternate(contestants, mode, self.rounds))
                    print(json.dumps(self.rows[-1]), flush=True)
                    self.output.parent.mkdir(exist_ok=True)
                    self.output.write_text(json.dumps(document, indent=1) + "\n")

    def graph(self, system: System) -> AtomGraph:
        """Batch of the structures of a system."""
        frames: Any = read(self.acac, ":5") if system == "acac" and self.acac else structures(system)
        return collate(build_graphs(frames, CUTOFF)).inputs


Contestant = tuple[nn.Module, Callable[[Mode], None]]
"""A module, and a function that computes its outputs and gradients, or trains."""


def networks(graph: AtomGraph) -> dict[str, Contestant]:
    """Force fields of both packages."""
    species = sorted(set(graph.z.tolist()))
    mean_neighbors = graph.edge_index.shape[1] / len(graph.z)
    options = {"channels": CHANNELS, "heads": HEADS, "layers": LAYERS, "radial_hidden": HIDDEN}
    ours = SE3Transformer(species, cutoff=CUTOFF, n_basis=BASIS, mean_neighbors=mean_neighbors, **options)

    def contestant(model: nn.Module) -> Contestant:
        force_field = ForceField(model)
        weights = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(weights)

        def call(mode: Mode) -> None:
            output = force_field.train(mode == "train")(graph)
            if mode == "train":
                optimizer.zero_grad()
                loss = output.energy.square().mean() + output.forces.square().mean()
                loss.backward(inputs=weights)
                optimizer.step()

        return model, call

    return {"symnets": contestant(ours), "e3nn": contestant(E3nnSE3Transformer(ours))}


def layers(graph: AtomGraph) -> dict[str, Contestant]:
    """Attention layers of both packages, on the same edges."""
    n, mean_neighbors = len(graph.z), graph.edge_index.shape[1] / len(graph.z)
    geometry = EdgeGeometry(CUTOFF, 2, BASIS, envelope=True)
    with torch.no_grad():
        edges = geometry(graph)
    filters, pair, envelope = edges.filters.requires_grad_(), edges.pair, edges.envelope
    features = torch.randn(n, IRREPS.dim, requires_grad=True)
    ours = Attention(
        IRREPS,
        geometry.irreps_filter,
        IRREPS,
        heads=HEADS,
        n_basis=BASIS,
        radial_hidden=HIDDEN,
        mean_neighbors=mean_neighbors,
    )
    theirs = E3nnAttention(IRREPS, geometry.irreps_filter, IRREPS, [BASIS, *HIDDEN], HEADS, mean_neighbors)
    basis = edges.basis.requires_grad_()
    all_rows = edges.basis.detach()[pair].requires_grad_()

    def contestant(layer: nn.Module, rows: Tensor, forward: Callable[[], Tensor]) -> Contestant:
        weights = list(layer.parameters())

        def call(mode: Mode) -> None:
            out, training = forward(), mode == "train"
            inputs = [features, rows, filters]
            gradients = torch.autograd.grad(out.square().mean(), inputs, create_graph=training)
            if training:
                loss = out.sum() + sum(g.square().sum() for g in gradients)
                torch.autograd.grad(loss, weights)

        return layer, call

    def e3nn_forward() -> Tensor:
        return theirs(features, all_rows, filters, envelope, graph.edge_index)

    return {
        "symnets": contestant(ours, basis, lambda: ours(features, edges, graph.edge_index)),
        "e3nn": contestant(theirs, all_rows, e3nn_forward),
    }


def alternate(contestants: dict[str, Contestant], mode: Mode, rounds: int) -> dict:
    """Milliseconds of both, median over rounds, and the median of their ratio."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, (_, call) in contestants.items():
            if turn == 0:
                call(mode)  # compiles; e3nn's scripts are optimised in their second call
                call(mode)
                continue
            start = time.perf_counter()
            call(mode)
            times[name].append(1000 * (time.perf_counter() - start))
    ratios = [b / a for a, b in zip(times["symnets"], times["e3nn"], strict=True)]
    sizes = {name: sum(p.numel() for p in module.parameters()) for name, (module, _) in contestants.items()}
    assert len(set(sizes.values())) == 1, sizes
    return {
        "weights": sizes["symnets"],
        "ms": {name: round(statistics.median(ts), 2) for name, ts in times.items()},
        "e3nn_over_symnets": round(statistics.median(ratios), 2),
        "range": [round(min(ratios), 2), round(max(ratios), 2)],
    }


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
