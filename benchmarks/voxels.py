"""How long does a steerable convolution on voxels take, compared with escnn?

    OMP_NUM_THREADS=1 python benchmarks/voxels.py --escnn PATH/TO/venv-with-escnn/bin/python

Layers between scalars, vectors and tensors of degree 2, kernel size 5, float32, one thread:

- first: a scalar field to 8x0e+4x1o+2x2e;
- middle: 14x0e+4x1o+2x2e to itself;
- wide: 32x0e+16x1o+8x2e to itself;
- stride: as middle, with stride 2.

Forward passes are without gradients and in evaluation mode, where escnn keeps its kernel; steps are forward
and backward with respect to weights and input. The peer is `R3Conv` of escnn 1.0.11 with SO(3), whose default
kernels have shells at radii 0, 1 and 2 and degrees up to 4, and more weights. The methods alternate, each
waiting for the other; a ratio is the median over rounds of escnn's time divided by that of symnets, and its
quartiles tell a tie from a difference. It needs the extra `bench`. Environment of escnn:
`pip install torch==2.13.0 "numpy<2" "scipy<1.15" joblib autograd pymanopt`, then
`pip install --no-deps escnn==1.0.11 lie_learn`; py3nj is optional.
"""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from machine import machine
from new_process import Peer
from workers.timing import once

from symnets.nn import VoxelConvolution

HERE = Path(__file__).parent
CASES = {
    "first": {"channels_in": [1], "channels_out": [8, 4, 2], "grid": 21, "batch": 8, "stride": 1},
    "middle": {"channels_in": [14, 4, 2], "channels_out": [14, 4, 2], "grid": 17, "batch": 8, "stride": 1},
    "wide": {"channels_in": [32, 16, 8], "channels_out": [32, 16, 8], "grid": 17, "batch": 2, "stride": 1},
    "stride": {"channels_in": [14, 4, 2], "channels_out": [14, 4, 2], "grid": 17, "batch": 8, "stride": 2},
}


@dataclass
class Benchmark:
    """Times of steerable convolutions."""

    escnn: str | None = None
    """Python of an environment with escnn."""
    rounds: int = 15
    size: int = 5
    output: Path = HERE / "results" / "voxels.json"

    def run(self) -> None:
        """Time all cases; print and save them."""
        torch.set_num_threads(1)
        rows = []
        for name, case in CASES.items():
            rows.append({"case": name, **case, **self.case(case | {"size": self.size})})
            print(json.dumps(rows[-1]), flush=True)
        found = {
            "question": __doc__,
            "machine": machine() | {"threads": 1},
            "versions": {"torch": torch.__version__},
            "rounds": self.rounds,
            "rows": rows,
        }
        self.output.parent.mkdir(exist_ok=True)
        self.output.write_text(json.dumps(found, indent=1) + "\n")

    def case(self, case: dict) -> dict:
        """Times of one layer by both packages, and their ratios."""
        irreps = [
            "+".join(f"{n}x{degree}{'oe'[degree % 2 == 0]}" for degree, n in enumerate(channels))
            for channels in (case["channels_in"], case["channels_out"])
        ]
        torch.manual_seed(0)
        layer = VoxelConvolution(*irreps, case["size"], stride=case["stride"])
        x = torch.randn(case["batch"], layer.irreps_in.dim, *[case["grid"]] * 3)

        def forward() -> None:
            with torch.no_grad():
                layer(x)

        def step() -> None:
            layer.zero_grad()
            layer(x.detach().requires_grad_()).square().mean().backward()

        peer, row = None, {"irreps": irreps, "n_weights": sum(p.numel() for p in layer.parameters())}
        if self.escnn:
            peer = Peer(self.escnn, "voxels_escnn.py", case)
            row["escnn_n_weights"] = peer.first["n_weights"]
        for name, call in {"forward": forward, "step": step}.items():
            call()
            ours, theirs = [], []
            for _ in range(self.rounds):
                ours.append(once(call))
                if peer is not None:
                    theirs.append(peer.turn(name))
            row[f"{name}_seconds"] = round(statistics.median(ours), 5)
            if peer is not None:
                row[f"{name}_escnn_seconds"] = round(statistics.median(theirs), 5)
                ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
                row[f"{name}_escnn_over_symnets"] = round(statistics.median(ratios), 2)
                quartiles = statistics.quantiles(ratios)[::2]
                row[f"{name}_quartiles_of_ratios"] = [round(quartile, 2) for quartile in quartiles]
        if peer is not None:
            peer.close()
        return row


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
