"""Does the number of unsatisfied patterns jump at jamming for nets of the published size, and at what cost?

    python benchmarks/gpu/jamming.py --output OUT/jamming.json --seconds 75 [--rehearse]

Dense ReLU nets with d = h = 51 and three hidden layers (N = 7,854 weights) on random patterns, the quadratic
hinge, full-batch Adam, as in the preset "paper" of the experiment `jamming_sharpness`, in float32. Published
(Geiger et al. 2019, arXiv:1809.09349): N_Δ/N jumps from 0 to more than C_0 ≈ 0.5 at a P/N between 2.80 and
3.30 after 10⁷ steps. The first rows are steps a second against the number of members, in float32 and float64,
from which the time of 10⁶ steps follows. Then nets at several P/N and seeds are minimised in the remaining
time. Nets of equal P are members of one `Dense`. The step of such a group is a CUDA graph on its own stream;
groups whose members are all satisfied stop. The learning rate decreases with the fraction of time used,
because steps a second change when groups stop. Each row contains the number of steps done.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from stage import Stage
from torch import Tensor

from symnets.data import Batch
from symnets.experiments import jamming_sharpness
from symnets.experiments.jamming_sharpness import Config
from symnets.models import Dense, count_weights
from symnets.observables import margins
from symnets.setups import initial_net, patterns
from symnets.training import Criterion, QuadraticHinge, TrainState, descend_members

MOST_STEPS = 1_000_000
UNROLLED = 10
"""Number of steps in a CUDA graph."""
PROGRESS_EVERY = 5.0
"""Seconds between two records of the groups' progress."""
FALL = 2.0
"""A member is UNSAT if its loss fell by less than this factor in the second half of the time."""
SOURCE = "Geiger et al. 2019, arXiv:1809.09349"


@dataclass(frozen=True)
class Sizes:
    """Sizes of a run."""

    width: int
    ratios: Sequence[float]
    seeds: int
    members: Sequence[int]
    stride: int
    most_steps: int = MOST_STEPS


FULL = Sizes(
    width=51,
    # The outermost values are quickly SAT and UNSAT and bracket the transition.
    ratios=(1.75, 2.25, 2.5, 2.75, 3.0, 3.5),
    seeds=2,
    members=(1, 2, 4, 8, 16, 32),
    stride=100,
)
REHEARSAL = Sizes(width=6, ratios=(3.5, 1.0), seeds=2, members=(1, 2), stride=20, most_steps=200)


class Group:
    """Group of nets that differ only in their seed, minimised together by Adam.

    On a GPU ten steps are captured as a CUDA graph; where that fails they are run as they are, and `refused`
    says why.

    Args:
        configs: of equal width, depth and number of patterns.
        device: where to minimise.
    """

    def __init__(self, configs: Sequence[Config], device: torch.device) -> None:
        first = configs[0]
        self.configs, self.device = configs, device
        dtype = getattr(torch, first.dtype)
        tasks = {config: patterns(config) for config in set(configs)}
        nets = {config: initial_net(config) for config in set(configs)}
        self.inputs = torch.stack([tasks[config].x_train for config in configs]).to(device)
        self.targets = torch.stack([tasks[config].y_train for config in configs]).to(device)
        self.model = Dense.stack([nets[config] for config in configs]).to(device, dtype)
        self.rate = torch.full((), first.rate * first.width**-1.5, dtype=torch.float32, device=device)
        self.top_rate = float(self.rate)
        # Gradients of nearly satisfied patterns are far below Adam's default ε.
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=self.rate, eps=1e-16, fused=True, capturable=device.type == "cuda"
        )
        self.loss = QuadraticHinge()
        self.losses = torch.zeros(len(configs), dtype=dtype, device=device)
        self.unsatisfied = torch.zeros(len(configs), dtype=torch.long, device=device)
        self.steps = 0
        self.sat_at: list[int | None] = [None] * len(configs)
        self.half: Tensor | None = None
        self.stream = torch.cuda.Stream() if device.type == "cuda" else None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.refused = ""

    def capture(self) -> None:
        """Record the steps as a CUDA graph, after three warm-up steps."""
        if self.stream is None:
            return
        self.stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(self.stream):
                for _ in range(3):
                    self._step()
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream):
                for _ in range(UNROLLED):
                    self._step()
            self.graph, self.steps = graph, 3
        except RuntimeError as error:
            self.refused = str(error).splitlines()[0][:200]
            torch.cuda.synchronize()

    def advance(self, steps: int) -> None:
        """Launch steps, a multiple of `UNROLLED`, on the group's stream, without waiting for them."""
        with torch.cuda.stream(self.stream):  # without effect on the CPU
            for _ in range(steps if self.graph is None else steps // UNROLLED):
                if self.graph is None:
                    self._step()
                else:
                    self.graph.replay()
        self.steps += steps

    @torch.no_grad()
    def look(self) -> bool:
        """Whether all members are satisfied; records the step at which a member is first found satisfied."""
        gaps = 1 - self.targets * self.model(self.inputs)
        self.losses = (0.5 * gaps.relu() ** 2).mean(-1)
        self.unsatisfied = (~(gaps <= self.configs[0].tolerance)).sum(-1)
        for k, n in enumerate(self.unsatisfied.tolist()):
            if n == 0 and self.sat_at[k] is None:
                self.sat_at[k] = self.steps
        return all(step is not None for step in self.sat_at)

    def standing(self) -> dict[str, Any]:
        """P/N, steps, losses and N_Δ/N of a group that is being minimised."""
        first = self.configs[0]
        return {
            "ratio": first.n_train / first.n_weights,
            "steps": self.steps,
            "loss": [_number(loss) for loss in self.losses.tolist()],
            "unsatisfied_per_weight": [n / first.n_weights for n in self.unsatisfied.tolist()],
        }

    def rows(self, seconds: float) -> list[dict[str, Any]]:
        """Rows of the members, with the columns of the experiment."""
        batch = Batch(self.inputs, self.targets)
        found = margins(self.model, batch, tolerance=self.configs[0].tolerance)
        rows = []
        for k, config in enumerate(self.configs):
            loss = float(found.loss[k])
            half = float("nan") if self.half is None else float(self.half[k])
            if not loss < float("inf"):
                verdict = "DIVERGED"
            elif self.sat_at[k] is not None:
                verdict = "SAT"
            else:
                verdict = "UNCONVERGED" if not loss * FALL >= half else "UNSAT"
            # A satisfied member continues with its group; it counts as SAT from its first satisfied step.
            n = 0 if verdict == "SAT" else int(found.n_unsatisfied[k])
            rows.append(
                {
                    "ratio": config.n_train / config.n_weights,
                    "seed": config.seed,
                    "verdict": verdict,
                    "width": config.width,
                    "depth": config.depth,
                    "n_train": config.n_train,
                    "n_weights": config.n_weights,
                    "n_unsatisfied": n,
                    "unsatisfied_per_weight": n / config.n_weights,
                    "final_loss": loss if loss < float("inf") else None,
                    "loss_at_half": half if half < float("inf") else None,
                    "steps_done": self.steps,
                    "sat_at_step": self.sat_at[k],
                    "jammed_above": config.jammed_above,
                    "seconds": round(seconds, 1),
                    "cuda_graph": self.graph is not None,
                }
                | ({"no_cuda_graph_because": self.refused} if self.refused else {})
            )
        return rows

    def _step(self) -> None:
        self.model.backpropagate(self.inputs, self._slope)
        self.optimizer.step()

    def _slope(self, outputs: Tensor) -> Tensor:
        return self.loss.d1(outputs, self.targets) / outputs.shape[-1]


def config(sizes: Sizes, ratio: float, seed: int, dtype: Any = "float32") -> Config:
    """Configuration of the preset "paper", with three hidden layers."""
    width = sizes.width
    n_train = round(ratio * count_weights(width, width, 3))
    return Config(n_train=n_train, width=width, dim=width, depth=3, seed=seed, dtype=dtype)


def speed(sizes: Sizes, members: int, dtype: str, device: torch.device, seconds: float) -> dict[str, Any]:
    """Measure steps a second of a group of members at P/N = 3."""
    group = Group([config(sizes, 3.0, seed % 2, dtype) for seed in range(members)], device)
    group.capture()
    steps, taken = UNROLLED, 0.0
    while taken < seconds / 2 and steps < 10_000:
        _synchronize(device)
        start = time.perf_counter()
        group.advance(steps)
        _synchronize(device)
        taken = time.perf_counter() - start
        done, steps = steps, 2 * steps
    rate = done / taken
    return {
        "n_train": group.configs[0].n_train,
        "steps_per_second": round(rate, 1),
        "member_steps_per_second": round(rate * members, 1),
        "hours_for_1e6_steps": round(1e6 / rate / 3600, 3),
        "cuda_graph": group.graph is not None,
    } | ({"no_cuda_graph_because": group.refused} if group.refused else {})


def library_speed(sizes: Sizes, members: int, device: torch.device, seconds: float) -> dict[str, Any]:
    """Measure steps a second of `descend_members` as in the experiment: no CUDA graph, checks of members."""
    group = Group([config(sizes, 3.0, seed % 2) for seed in range(members)], device)
    optimizer = torch.optim.Adam(group.model.parameters(), lr=group.top_rate, eps=1e-16, fused=True)
    state = TrainState(group.model, optimizer)
    batch = Batch(group.inputs, group.targets)
    criterion = Criterion(tolerance=group.configs[0].tolerance)
    dynamics = descend_members(state, group.loss, batch, budget=10**9, criterion=criterion, stride=20)
    next(dynamics), next(dynamics)
    _synchronize(device)
    start, before = time.perf_counter(), state.step
    while time.perf_counter() - start < seconds / 2:
        next(dynamics)
        _synchronize(device)
    rate = (state.step - before) / (time.perf_counter() - start)
    return {"steps_per_second": round(rate, 1), "member_steps_per_second": round(rate * members, 1)}


def minimise(stage: Stage, sizes: Sizes, seconds: float) -> None:
    """Minimise the groups at all P/N concurrently for a time; add the rows of a group when it is finished."""
    groups = []
    for ratio in sizes.ratios:
        group = Group([config(sizes, ratio, seed) for seed in range(sizes.seeds)], stage.device)
        group.capture()
        groups.append(group)
    final = groups[0].configs[0].final_rate
    start, halved = time.monotonic(), False
    moving, saved = list(groups), start
    while moving:
        fraction = max((time.monotonic() - start) / seconds, moving[0].steps / sizes.most_steps)
        if fraction >= 1:
            break
        if fraction >= 0.5 and not halved:
            halved = True
            for group in moving:
                group.half = group.losses.clone()
        for group in moving:
            group.rate.fill_(group.top_rate * final**fraction)
        _synchronize(stage.device)
        for _ in range(sizes.stride // UNROLLED):  # alternately, so that the streams fill the GPU together
            for group in moving:
                group.advance(UNROLLED)
        _synchronize(stage.device)
        for group in [group for group in moving if group.look()]:
            moving.remove(group)
            _tell(stage, group, time.monotonic() - start)
        if time.monotonic() - saved > PROGRESS_EVERY:  # all that remains of a run that is killed
            saved = time.monotonic()
            stage.document["moving"] = [group.standing() for group in moving]
            stage.save()
    stage.document.pop("moving", None)
    for group in moving:
        _tell(stage, group, time.monotonic() - start)


def _tell(stage: Stage, group: Group, seconds: float) -> None:
    for row in group.rows(seconds):
        stage.add(row)
    stage.document["summary"] = summary([row for row in stage.rows if "verdict" in row])
    stage.document["findings"] = findings([row for row in stage.rows if "verdict" in row])
    stage.save()


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """N_Δ/N by P/N, the largest value below the gap, the smallest above it, and whether members converged."""
    by_ratio = {}
    for ratio in sorted({row["ratio"] for row in rows}):
        mine = [row for row in rows if row["ratio"] == ratio]
        by_ratio[f"{ratio:.3f}"] = {
            "verdicts": [row["verdict"] for row in mine],
            "unsatisfied_per_weight": [round(row["unsatisfied_per_weight"], 4) for row in mine],
            "steps": [row["steps_done"] for row in mine],
        }
    judged = [row for row in rows if row["verdict"] in ("SAT", "UNSAT")]
    jammed = [row for row in judged if row["unsatisfied_per_weight"] > row["jammed_above"]]
    free = [row for row in judged if row not in jammed]
    unconverged = [row["ratio"] for row in rows if row["verdict"] == "UNCONVERGED"]
    found: dict[str, Any] = {
        "by_ratio": by_ratio,
        "published": f"N_Δ/N jumps to more than 0.5; P/N of 2.80 to 3.30 after 10⁷ steps ({SOURCE})",
        "largest_not_jammed": max((row["unsatisfied_per_weight"] for row in free), default=None),
        "jammed_from_ratio": min((row["ratio"] for row in jammed), default=None),
        "smallest_jammed": min((row["unsatisfied_per_weight"] for row in jammed), default=None),
        "ratios_unconverged": unconverged,
    }
    if not jammed or not any(row["verdict"] == "SAT" for row in rows):
        found["verdict"] = "none: both sides of the transition are needed, and one was not reached"
    elif unconverged:
        found["verdict"] = "of converged members only: others still fell when the time was over"
    else:
        found["verdict"] = "all members converged"
    return found


def findings(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings of the experiment `jamming_sharpness` for the rows."""
    if not rows:
        return []
    return [
        {
            "quantity": one.quantity,
            "measured": _number(one.measured.value),
            "error": _number(one.measured.error),
            "published": one.published,
            "band": [one.low, one.high],
            "agrees": one.agrees,
        }
        for one in jamming_sharpness.findings(pd.DataFrame(rows), lambda name: {})
    ]


def _number(value: float | None) -> float | None:
    """None for NaN, which JSON cannot represent."""
    return None if value is None or value != value else value


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure the speeds, then the transition."""
    stage = Stage(__doc__)
    sizes = REHEARSAL if stage.rehearse else FULL
    torch.backends.cuda.matmul.allow_tf32 = False
    each = min(0.01 * stage.seconds, 0.1 if stage.rehearse else 1.0)
    for dtype in ("float32", "float64"):
        for members in sizes.members if dtype == "float32" else sizes.members[-1:]:
            case = {"measured": "speed", "members": members, "dtype": dtype, "width": sizes.width}
            if stage.has_time_for(case, seconds=0.3 * stage.seconds):
                stage.measure(
                    case,
                    lambda members=members, dtype=dtype: speed(sizes, members, dtype, stage.device, each),
                )
    case = {"measured": "speed of descend_members", "members": sizes.seeds, "width": sizes.width}
    if stage.has_time_for(case, seconds=0.3 * stage.seconds):
        stage.measure(case, lambda: library_speed(sizes, sizes.seeds, stage.device, each))
    end = 0.03 * stage.seconds + 1.0  # for margins and findings
    if stage.has_time_for({"measured": "transition"}, seconds=end + 1.0):
        begun = stage.seconds_left
        stage.document["transition_started_with_seconds"] = round(begun, 1)
        minimise(stage, sizes, min(begun - end, 3.0) if stage.rehearse else begun - end)
    stage.finish()


if __name__ == "__main__":
    main()
