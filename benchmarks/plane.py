"""How long do circular convolutions and a harmonic network take, beside escnn?

    OMP_NUM_THREADS=1 python benchmarks/plane.py --escnn PATH/TO/venv/bin/python

Cases, float32, fields of orders 0, 1 and 2 (irreps of SO(2) of these frequencies in escnn), kernels of 5 x 5:

- layer: one convolution of 16 to 16 channels of each order, on 32 maps of 28 x 28;
- wide: the same of 32 to 32 channels, on 32 maps of 14 x 14;
- net: three blocks of convolution, batch normalisation and nonlinearity of magnitudes, from images to 8, 8
  and 16 channels of each order, the last two with stride 2; magnitudes, averaged over pixels, and a linear
  map; on 32 images of 29 x 29.

Forward passes are in eval mode without gradients, where escnn keeps its filters from the last training step.
Steps are a forward pass in training mode, cross-entropy or the mean of squares, gradients, and AdamW. Fields,
sizes of filters and numbers of maps are equal, hence the operations of the convolutions too; numbers of
weights are not: escnn has more filters between orders (also of order n + m). Its layers are `R2Conv`,
`GNormBatchNorm` and `NormNonLinearity`.

escnn runs in a process of its own, which waits while symnets runs, turn by turn. A ratio is the median over
rounds of its time divided by symnets' time in the same round; its quartiles tell a tie from a difference. In
single layers both call the same convolution of torch, and filters are a few percent of the time: what can be
expected are ties. Environment of escnn, without its optional py3nj:
`pip install torch==2.13.0 "numpy<2" "scipy<1.15" lie_learn pymanopt joblib autograd`, then
`pip install --no-deps escnn==1.0.11`.
"""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from machine import machine
from new_process import Peer
from workers.timing_of_steps import step_timer

from symnets.nn import CircularConvolution, MagnitudeActivation, Magnitudes

HERE = Path(__file__).parent
CASES = {
    "layer": {"fields": [[16, 16, 16]] * 2, "strides": [1], "side": 28},
    "wide": {"fields": [[32, 32, 32]] * 2, "strides": [1], "side": 14},
    "net": {"fields": [[1], [8, 8, 8], [8, 8, 8], [16, 16, 16]], "strides": [1, 2, 2], "side": 29},
}


@dataclass
class Benchmark:
    """Times of a forward pass and of a training step."""

    escnn: str | None = None
    """Python of an environment with escnn."""
    rounds: int = 31
    output: Path = HERE / "results" / "plane.json"

    def run(self) -> None:
        """Time all cases; print and save."""
        rows, versions = [], {"torch": torch.__version__}
        for name, case in CASES.items():
            for what in ("forward", "step"):
                request: dict = case | {"batch": 32, "what": what, "threads": torch.get_num_threads()}
                module = network(case["fields"], case["strides"]) if name == "net" else layer(case["fields"])
                turn = step_timer(module, inputs(request), what)
                peer = Peer(self.escnn, "plane_escnn.py", request) if self.escnn else None
                turns = {"symnets": turn} | ({"escnn": peer.turn} if peer else {})
                times: dict[str, list[float]] = {method: [] for method in turns}
                for number in range(self.rounds + 2):
                    for method, once in turns.items():
                        seconds = once()
                        if number >= 2:  # after the first calls
                            times[method].append(seconds)
                row: dict = {"case": name, "what": what}
                row["milliseconds"] = {m: round(1e3 * statistics.median(ts), 2) for m, ts in times.items()}
                row["n_weights"] = {"symnets": sum(p.numel() for p in module.parameters())}
                if peer:
                    ratios = [a / b for a, b in zip(times["escnn"], times["symnets"], strict=True)]
                    row["escnn_over_symnets"] = round(statistics.median(ratios), 2)
                    row["quartiles_of_ratios"] = [round(q, 2) for q in statistics.quantiles(ratios)[::2]]
                    row["n_weights"]["escnn"] = peer.first["n_weights"]
                    versions |= peer.first["versions"]
                    peer.close()
                print(json.dumps(row), flush=True)
                rows.append(row)
        where = machine() | {"threads": torch.get_num_threads()}
        result = {"question": __doc__, "machine": where, "versions": versions}
        result |= {"rounds": self.rounds, "rows": rows}
        self.output.write_text(json.dumps(result, indent=1) + "\n")


def inputs(request: dict) -> torch.Tensor:
    """Random maps."""
    first, *others = request["fields"][0]
    return torch.randn(request["batch"], first + 2 * sum(others), request["side"], request["side"])


def layer(fields: list[list[int]]) -> torch.nn.Module:
    """One convolution."""
    return CircularConvolution(fields[0], fields[1])


def network(fields: list[list[int]], strides: list[int]) -> torch.nn.Module:
    """Blocks, invariants and a linear map."""
    modules: list[torch.nn.Module] = []
    for before, after, stride in zip(fields, fields[1:], strides, strict=False):
        modules += [CircularConvolution(before, after, stride=stride), MagnitudeActivation(after)]
    return torch.nn.Sequential(
        *modules,
        Magnitudes(fields[-1]),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(sum(fields[-1]), 10),
    )


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
