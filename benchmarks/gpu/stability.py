"""Does the test error follow 0.2 √R over fifteen architectures at their published widths?

    python benchmarks/gpu/stability.py --output OUT/stability.json --seconds 180 [--rehearse]

Fifteen nets are trained on CIFAR-10 (`pack_images.py`) and on Fashion-MNIST (the folder SYMNETS_DATA), like
the narrower nets of the experiment `stability_vs_error`. D, G and R of the logits are measured at δ = 1 pixel
and c = 3 in the published convention. Published: ε ≈ 0.2 √R for fifteen nets on CIFAR-10 after 250 epochs
(Petrini et al. 2021, arXiv:2105.02468). Trainings last only a few epochs here: the time of an epoch of each
net is measured first, then epochs are allotted to nets so that all fit in the time. Rows contain epochs,
steps and training error.

Images are on the device. A step is one CUDA graph: shifts and reflections, the net in bfloat16, optimizer.
"""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from fifteen_nets import N_CLASSES, NETS, Architecture
from pack_images import PACKED, read_packed
from stage import Stage
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from symnets.data import Images, balanced_subset, largest_balanced_subset, load_images
from symnets.diffeo import SineField
from symnets.downloads import local_folder
from symnets.estimates import fit_power_law
from symnets.experiments import stability_vs_error
from symnets.observables import Stability, classification_error, stability
from symnets.setups import NORMALISATIONS, without_folding_warnings
from symnets.training import safe_convolutions

SOURCE = "Petrini et al. 2021, arXiv:2105.02468"
LEAST_EPOCHS = 1.0
WORTH = {"cifar10": 1.0, "fashion-mnist": 0.25}
"""Weight of an epoch by data set: the law was published for CIFAR-10; Fashion-MNIST needs fewer epochs."""
WARMUP = 0.15
"""Fraction of the steps in which the learning rate increases."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a run."""

    batch: int
    width: float
    n_train: int | None
    n_test: int
    n_images: int
    most_epochs: float
    nets: Sequence[str]


FULL = Sizes(
    batch=256, width=1.0, n_train=None, n_test=3000, n_images=500, most_epochs=30.0, nets=tuple(NETS)
)
REHEARSAL = Sizes(
    batch=20,
    width=1 / 16,
    n_train=200,
    n_test=100,
    n_images=50,
    most_epochs=1.0,
    nets=("vgg11_bn", "fc2", "lenet"),
)


@dataclass(frozen=True)
class DataSet:
    """Normalised images on the device; training images have a border of zeros and channels last."""

    name: str
    shape: tuple[int, int, int]
    reach: int
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor

    @classmethod
    def of(cls, name: str, train: Images, test: Images, device: torch.device) -> "DataSet":
        """Data set made from images."""
        normalised = NORMALISATIONS[name]
        shape = tuple(train.pixels.shape[1:])
        reach = max(shape) // 8
        images = normalised(train.pixels.to(device).float() / train.max_value)
        return cls(
            name,
            shape,
            reach,
            pad(images, (reach,) * 4).movedim(1, -1).contiguous(),
            train.labels.to(device),
            normalised(test.pixels.to(device).float() / test.max_value),
            test.labels.to(device),
        )

    def augmented(self, rows: Tensor, shift: Tensor, mirrored: Tensor) -> Tensor:
        """Training images shifted by whole pixels, some of them reflected, in memory format channels_last."""
        _, height, width = self.shape
        across = torch.arange(width, device=rows.device)
        across = torch.where(mirrored[:, None], width - 1 - across, across) + shift[:, 1, None]
        down = torch.arange(height, device=rows.device) + shift[:, 0, None]
        return self.train[rows[:, None, None], down[:, :, None], across[:, None, :]].movedim(-1, 1)


class Training:
    """Training of a net, with the random numbers of all steps in tables on the device.

    On a GPU the step is captured as a CUDA graph; where that fails it is run as it is, and `refused`
    says why.
    """

    def __init__(self, architecture: Architecture, data: DataSet, sizes: Sizes, seed: int = 0) -> None:
        device = data.train.device
        torch.manual_seed(seed)
        with device:
            net = architecture.build(data.shape, sizes.width)
        self.net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.data, self.device, self.batch = data, device, sizes.batch
        self.top_rate = architecture.rate * sizes.batch / 128
        self.steps_per_epoch = max(len(data.train_labels) // sizes.batch, 1)
        most = math.ceil(sizes.most_epochs * self.steps_per_epoch)
        self.rates, self.losses = torch.zeros(most, device=device), torch.zeros(most, device=device)
        self.rows = torch.zeros(most, sizes.batch, dtype=torch.long, device=device)
        self.shifts = torch.zeros(most, sizes.batch, 2, dtype=torch.long, device=device)
        self.mirrored = torch.zeros(most, sizes.batch, dtype=torch.bool, device=device)
        self.now = torch.zeros(1, dtype=torch.long, device=device)
        self.rate = torch.zeros((), device=device)
        self.optimizer = _optimizer(self.net, architecture, self.rate)
        self.initial = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.graph: torch.cuda.CUDAGraph | None = None
        self.refused = ""
        self.net.train()

    def prepare(self, repeats: int) -> float:
        """Capture a step and return its seconds; weights, statistics and momenta are restored."""
        try:
            self._capture()
        except RuntimeError as error:
            self.refused = str(error).splitlines()[0][:200]
            _synchronize(self.device)
        self._replay(2)
        start = time.perf_counter()
        self._replay(repeats)
        taken = (time.perf_counter() - start) / repeats
        self.net.load_state_dict(self.initial)
        for slots in self.optimizer.state.values():
            for value in slots.values():
                if isinstance(value, Tensor):
                    value.zero_()
        self.now.zero_()
        return taken

    def plan(self, steps: int, seed: int = 0) -> None:
        """Sample batches, shifts and reflections of the steps; set the schedule: warm-up, then a cosine."""
        generator = torch.Generator(self.device).manual_seed(seed)
        n, options = len(self.data.train_labels), {"generator": generator, "device": self.device}
        for start in range(0, steps, self.steps_per_epoch):
            part = self.rows[start : start + self.steps_per_epoch]
            part.copy_(torch.randperm(n, **options)[: part.numel()].reshape(part.shape))
        self.shifts.copy_(torch.randint(2 * self.data.reach + 1, self.shifts.shape, **options))
        self.mirrored.copy_(torch.rand(self.mirrored.shape, **options) < 0.5)
        done = torch.arange(1, steps + 1, device=self.device) / steps
        fall = (1 + torch.cos(math.pi * ((done - WARMUP) / (1 - WARMUP)).clamp(0, 1))) / 2
        self.rates[:steps] = self.top_rate * torch.minimum(done / WARMUP, fall)

    def run(self, steps: int, seconds: float) -> int:
        """Train for at most a number of seconds; return the number of steps done."""
        start, done, part = time.monotonic(), 0, 1
        while done < steps and time.monotonic() - start < seconds:
            part = min(part, steps - done)
            begun = time.monotonic()
            self._replay(part)
            done += part
            part *= 2 if time.monotonic() - begun < 0.1 else 1  # parts are short enough for the clock
        self.net.eval()
        return done

    def train_error(self, n: int) -> float:
        """Error on the first n training images, without shifts."""
        reach, (_, height, width) = self.data.reach, self.data.shape
        images = self.data.train[:n, reach : reach + height, reach : reach + width].movedim(-1, 1)
        return classification_error(self.net, images, self.data.train_labels[:n]).error

    def _capture(self) -> None:
        if self.device.type != "cuda":
            self._step()
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        self.optimizer.zero_grad()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        self.graph = graph

    def _replay(self, steps: int) -> None:
        for _ in range(steps):
            if self.graph is None:
                self._step()
            else:
                self.graph.replay()
        _synchronize(self.device)

    def _step(self) -> None:
        rows, shift, mirrored, rate = (
            table.index_select(0, self.now)[0]
            for table in (self.rows, self.shifts, self.mirrored, self.rates)
        )
        self.rate.copy_(rate)
        images = self.data.augmented(rows, shift, mirrored)
        self.optimizer.zero_grad()
        half = torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda", cache_enabled=False)
        with safe_convolutions():
            with half:
                loss = cross_entropy(self.net(images).float(), self.data.train_labels[rows])
            loss.backward()
        self.optimizer.step()
        self.losses.index_copy_(0, self.now, loss.detach().reshape(1))
        self.now += 1


def _optimizer(net: nn.Module, architecture: Architecture, rate: Tensor) -> torch.optim.Optimizer:
    """Optimizer whose learning rate is a tensor, so that a CUDA graph can read a new value in each step."""
    decay = architecture.weight_decay
    if architecture.optimizer == "adamw":
        capturable = rate.device.type == "cuda"
        return torch.optim.AdamW(
            net.parameters(), lr=rate, weight_decay=decay, fused=True, capturable=capturable
        )
    return torch.optim.SGD(
        net.parameters(), lr=rate, momentum=0.9, weight_decay=decay, nesterov=True, fused=True
    )


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def epochs_that_fit(
    costs: Sequence[float],
    worth: Sequence[float],
    seconds: float,
    *,
    most: float,
    least: float = LEAST_EPOCHS,
) -> list[float]:
    """Epochs of each training, proportional to √(worth / cost) within limits, for a total time.

    This shares the time so that Σ worth / epochs is least: cheap nets are trained for more epochs, costly
    ones for more seconds.

    Args:
        costs: seconds of an epoch, of each training.
        worth: of each training.
        seconds: for all.
        most: epochs, even if more would fit.
        least: epochs, even if they do not fit.
    """

    def shared(factor: float) -> list[float]:
        return [
            min(max(factor * (value / cost) ** 0.5, least), most)
            for cost, value in zip(costs, worth, strict=True)
        ]

    low, high = 0.0, most * max(cost / value for cost, value in zip(costs, worth, strict=True)) ** 0.5
    for _ in range(60):
        middle = (low + high) / 2
        taken = sum(cost * epochs for cost, epochs in zip(costs, shared(middle), strict=True))
        low, high = (middle, high) if taken <= seconds else (low, middle)
    return shared(low)


def measured(net: nn.Module, data: DataSet, sizes: Sizes, cutoff: float, n_draws: int) -> Stability:
    """D, G and R of the logits; in training mode with the statistics of the batch."""
    field = SineField(data.shape[1:], cutoff=cutoff, rule="half")
    with without_folding_warnings():
        return stability(
            net,
            data.test[: sizes.n_images],
            field,
            temperature=field.temperature(1.0, exact=False),
            n_draws=n_draws,
            generator=torch.Generator().manual_seed(0),
            batch_norm="batch" if net.training else "running",
        )


def trained(stage: Stage, training: Training, sizes: Sizes, seconds_of_training: float) -> dict[str, Any]:
    """Train a net for about a number of seconds, measure it, and return the row."""
    data, net = training.data, training.net
    step = training.prepare(2 if stage.rehearse else 8)
    per_epoch = training.steps_per_epoch
    steps = round(min(max(seconds_of_training / step, 0.25 * per_epoch), sizes.most_epochs * per_epoch))
    start = measured(net, data, sizes, 3.0, 1)
    training.plan(steps)
    begun = time.monotonic()
    done = training.run(steps, stage.seconds_left - 1.0)
    seconds = time.monotonic() - begun
    loss = float(training.losses[max(done - 20, 0) : done].mean())
    end = measured(net, data, sizes, 3.0, 2)
    error = classification_error(net, data.test, data.test_labels)
    row = {
        "verdict": "DIVERGED" if not math.isfinite(loss) else "CUT" if done < steps else "DONE",
        "n_params": sum(p.numel() for p in net.parameters()),
        "n_train": len(data.train_labels),
        "batch": training.batch,
        "epochs": round(done / per_epoch, 2),
        "steps": done,
        "steps_planned": steps,
        "ms_per_step": round(1000 * step, 3),
        "training_seconds": round(seconds, 2),
        "images_per_second": round(done * training.batch / max(seconds, 1e-9)),
        "cuda_graph": training.graph is not None,
        "final_loss": loss,
        "train_error": training.train_error(len(data.test)),
        "test_error": error.error,
        "test_error_sd": error.standard_error,
        "temperature": end.temperature,
        "rms_displacement": end.delta,
    }
    if training.refused:
        row["no_cuda_graph_because"] = training.refused
    for ending, found in (("", end), ("_init", start)):
        numbers = found.table().iloc[-1]
        row |= {f"{name}{ending}": float(value) for name, value in numbers.items()}
    if data.name == "cifar10":  # the cutoff of the authors' archive of 2021
        row["R_c5"] = float(measured(net, data, sizes, 5.0, 1).R.value[-1])
    return {name: _json(value) for name, value in row.items()}


def verdict_on_law(rows: Sequence[dict[str, Any]], data: str) -> dict[str, Any]:
    """Fit of ε = A R^a over the completely trained nets of a data set, compared with the published law."""
    done = [row for row in rows if row.get("data") == data and row.get("verdict") == "DONE"]
    points = [(row["R"], row["test_error"]) for row in done if row["R"] and row["test_error"]]
    law: dict[str, Any] = {"data": data, "nets": len(points)}
    law["published"] = {"prefactor": 0.2, "exponent": 0.5, "on": "CIFAR-10, 15 nets", "source": SOURCE}
    for name, chosen in (("all", points), ("R_below_1", [point for point in points if point[0] < 1])):
        r, error = np.array(chosen).reshape(-1, 2).T
        if len(np.unique(r)) < 3:
            continue
        fit = fit_power_law(r, error)
        logs = float(np.corrcoef(np.log(r), np.log(error))[0, 1])
        off = np.log(error / (0.2 * np.sqrt(r)))
        law[name] = {
            "nets": len(r),
            "prefactor": fit.prefactor.value,
            "prefactor_error": fit.prefactor.error,
            "exponent": fit.exponent.value,
            "exponent_error": fit.exponent.error,
            "correlation_of_logs": logs,
            "error_over_published_law": math.exp(off.mean()),
            "scatter_about_published_law": float(off.std()),
        }
    return law


def findings(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings of the experiment `stability_vs_error` for the rows, with errors over nets."""
    done = [row | {"seed": 0} for row in rows if row.get("verdict") == "DONE"]
    if len(done) < 3:
        return []
    found = stability_vs_error.findings(pd.DataFrame(done), lambda name: {})
    return [
        {
            "quantity": one.quantity,
            "measured": _json(one.measured.value),
            "error": _json(one.measured.error),
            "published": one.published,
            "band": [one.low, one.high],
            "agrees": one.agrees,
        }
        for one in found
    ]


def _json(value: Any) -> Any:
    """None for NaN, which JSON cannot represent."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def data_sets(stage: Stage, sizes: Sizes) -> list[DataSet]:
    """CIFAR-10 and Fashion-MNIST, as far as available; a rehearsal without either uses digits."""
    found: list[DataSet] = []
    missing: dict[str, str] = {}

    def add(name: str, train: Images, test: Images) -> None:
        parts = []
        for images, wish in ((train, sizes.n_train), (test, sizes.n_test)):
            most = largest_balanced_subset(images.labels.numpy())
            parts.append(images[balanced_subset(images.labels, min(wish or most, most), 0)])
        order = torch.randperm(len(parts[1]), generator=torch.Generator().manual_seed(0))
        found.append(DataSet.of(name, parts[0], parts[1][order], stage.device))

    try:
        wish = (sizes.n_train, sizes.n_test)
        add(
            "cifar10",
            *(read_packed(PACKED, part, n) for part, n in zip(("train", "test"), wish, strict=True)),
        )
    except OSError as error:
        missing["cifar10"] = str(error)
    try:
        if local_folder("fashion-mnist") is None:  # nothing is downloaded here
            raise FileNotFoundError("no folder fashion-mnist in SYMNETS_DATA")
        add("fashion-mnist", load_images("fashion-mnist"), load_images("fashion-mnist", "test"))
    except (OSError, ValueError) as error:
        missing["fashion-mnist"] = str(error)
    if stage.rehearse and not found:
        add("digits", load_images("digits"), load_images("digits", "test"))
    stage.document["images"] = {one.name: [len(one.train_labels), len(one.test_labels)] for one in found}
    stage.document["missing"] = missing
    stage.save()
    return found


def main() -> None:
    """Measure the cost of each net, allot the time, train, and fit the law."""
    stage = Stage(__doc__)
    sizes = REHEARSAL if stage.rehearse else FULL
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    sets = data_sets(stage, sizes)
    if not sets:
        sys.exit("stability.py: found no images; run pack_images.py, and set SYMNETS_DATA")
    stage.document["published"] = f"ε ≈ 0.2 √R, 15 nets on CIFAR-10 after 250 epochs ({SOURCE})"
    stage.document["protocol"] = {
        "sgd": "with batch normalisation: Nesterov 0.9, rate 0.1 · batch / 128, decay 5e-4, as published",
        "adamw": "others: rate 0.001 (fully connected), 0.0005 (LeNet, AlexNet), 0.00025 · batch / 128",
        "schedule": f"linear over {WARMUP:.0%} of the steps, then a cosine to 0",
        "images": "shifted by up to an eighth, half of them reflected; bfloat16 on a GPU",
        "stability": "logits, 500 test images, 2 deformations and noises each (1 at the start), means",
    }
    jobs = [(net, data) for net in sizes.nets for data in sets]
    costs = _costs(stage, sizes, sets)
    overhead = 1.0 if stage.device.type == "cuda" else 0.3
    last = 0.02 * stage.seconds + 0.5  # for the findings
    for place, (net, data) in enumerate(jobs):
        if not stage.has_time_for({"net": net, "data": data.name}, seconds=last + overhead + 0.2):
            continue
        left = jobs[place:]
        shares = epochs_that_fit(
            [costs[n, d.name] for n, d in left],
            [WORTH.get(d.name, 1.0) for _, d in left],
            stage.seconds_left - last - overhead * len(left),
            most=sizes.most_epochs,
        )
        seconds = shares[0] * costs[net, data.name]
        case, begun = {"net": net, "data": data.name}, time.monotonic()

        def measure(net: str = net, data: DataSet = data, seconds: float = seconds) -> dict[str, Any]:
            return trained(stage, Training(NETS[net], data, sizes), sizes, seconds)

        row = stage.measure(case, measure)
        if row is not None:
            overhead = 0.7 * overhead + 0.3 * (time.monotonic() - begun - row["training_seconds"])
            costs[net, data.name] = row["ms_per_step"] / 1000 * (row["n_train"] // row["batch"])
        stage.document["law"] = [verdict_on_law(stage.rows, one.name) for one in sets]
        stage.save()
    stage.document["findings"] = findings(stage.rows)
    stage.finish()


def _costs(stage: Stage, sizes: Sizes, sets: Sequence[DataSet]) -> dict[tuple[str, str], float]:
    """Seconds of an epoch of each net: measured for the first data set, scaled by pixels for the others."""
    costs: dict[tuple[str, str], float] = {}
    table: dict[str, Any] = {}
    for net in sizes.nets:
        try:
            training = Training(NETS[net], sets[0], sizes)
            step = training.prepare(2 if stage.rehearse else 4)
        except RuntimeError as error:  # it will fail again and be reported in its row
            table[net], step = str(error).splitlines()[0], 0.1
        else:
            table[net] = {"ms_per_step": round(1000 * step, 3), "steps_per_second": round(1 / step, 1)}
        for data in sets:
            pixels = math.prod(data.shape[1:]) / math.prod(sets[0].shape[1:])
            costs[net, data.name] = step * pixels * max(len(data.train_labels) // sizes.batch, 1)
        stage.document["speed_" + sets[0].name] = {"batch": sizes.batch, "nets": table}
        stage.save()
    return costs


if __name__ == "__main__":
    assert N_CLASSES == 10
    main()
