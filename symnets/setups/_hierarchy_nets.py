"""Nets that learn random hierarchies: configuration, hierarchical convolutional net, training and its row."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from symnets.config import SEED, at_least, check_ranges, fingerprint, more_than, within
from symnets.data import HierarchySample, Loader, RandomHierarchy, SparseHierarchy, TensorPairs
from symnets.device import model_device, usable_device
from symnets.observables import classification_error, sensitivity
from symnets.setups._dense_nets import ReportProgress, seeded_generator
from symnets.sweeps import Result, Scalar, checkpoint
from symnets.training import (
    Trainer,
    TrainState,
    below,
    cross_entropy,
    descend,
    diverged,
    every,
    first_of,
    max_steps,
)


class PatchLayer(nn.Module):
    """Convolution of patches without overlap, then ReLU: stride and filter have the size of a patch.

        a = ReLU(W x / √(patch · channels) + b)

    Args:
        patch: number of positions of a patch.
        channels: number of input channels.
        width: number of output channels.
        generator: random generator of the initial weights, of variance 1; biases are zero at first.
    """

    def __init__(self, patch: int, channels: int, width: int, generator: Generator) -> None:
        super().__init__()
        self.fan_in = patch * channels
        self.weight = nn.Parameter(torch.randn(width, self.fan_in, generator=generator))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "n positions channels"]) -> Float[Tensor, "n patches width"]:
        """Activations of the patches."""
        patches = x.reshape(len(x), -1, self.fan_in)
        return nn.functional.linear(patches, self.weight / self.fan_in**0.5, self.bias).relu()


class HierarchicalNet(nn.Module):
    """Convolutional net with the geometry of a hierarchy: a `PatchLayer` for each level, and a readout.

    The patches of a layer are the tuples of a level (of a sparse hierarchy with their empty positions). The
    parametrisation is mean-field: logits are V a / width, so that features are learned at any width with
    learning rates proportional to the width. Layers are named hidden.0, the lowest, to hidden.{L - 1}.

    Args:
        hierarchy: the hierarchy, which sets depth, patches and numbers of channels and classes.
        width: number of channels of the hidden layers.
        generator: random generator of the initial weights, on the CPU.
    """

    def __init__(self, hierarchy: RandomHierarchy, width: int, generator: Generator) -> None:
        super().__init__()
        patch = round(hierarchy.n_positions ** (1 / hierarchy.depth))
        channels = [hierarchy.vocabulary] + [width] * (hierarchy.depth - 1)
        self.scale = hierarchy.vocabulary**0.5  # of the inputs, for a mean square of one
        self.hidden = nn.Sequential(*[PatchLayer(patch, c, width, generator) for c in channels])
        self.readout = nn.Parameter(torch.randn(hierarchy.n_classes, width, generator=generator))

    def forward(self, x: Float[Tensor, "n v positions"]) -> Float[Tensor, "n classes"]:
        """Logits of the classes."""
        features = self.hidden(self.scale * x.transpose(1, 2))[:, 0]
        return features @ self.readout.T / self.readout.shape[1]


@dataclass(frozen=True)
class HierarchyConfig:
    """Configuration of a hierarchy, a hierarchical convolutional net, and its training by SGD."""

    n_train: int = 64
    """P, number of training inputs."""
    n_synonyms: int = 4
    """m, which is also the number of classes n_c and of symbols v: all tuples of s = 2 symbols are in use."""
    levels: int = 2
    """L, number of levels of the hierarchy, and of hidden layers."""
    n_empty: int | None = None
    """s0, number of empty positions for each symbol of a sparse hierarchy; None for a dense hierarchy."""
    width: int = 128
    """Number of channels of each hidden layer."""
    n_test: int = 1000
    """Number of test inputs, none of them in the training set; fewer if the hierarchy has not enough."""
    rate: float = 0.5
    """Learning rate divided by the width."""
    momentum: float = 0.9
    """Momentum of SGD."""
    batch_size: int = 128
    """Number of inputs per step, at most the size of the training set."""
    loss_below: float = 1e-3
    """Training ends when the cross-entropy of the training set is below this value, in nats."""
    steps: int = 10_000
    """Largest number of steps."""
    seed: int = 0
    """Seed of the rules, the inputs, the initial weights and the order of inputs."""
    device: str = "cpu"
    """Device on which nets are trained; inputs and initial weights do not depend on it."""

    def __post_init__(self) -> None:
        check_ranges(
            "",
            self,
            n_train=at_least(1),
            n_synonyms=at_least(2),
            levels=at_least(1),
            n_empty=at_least(0),
            width=at_least(1),
            n_test=at_least(2),
            rate=more_than(0),
            momentum=within(0, 1),
            batch_size=at_least(1),
            loss_below=more_than(0),
            steps=at_least(1),
            seed=SEED,
        )
        if self.n_train > self.hierarchy.n_inputs - 2:
            raise ValueError(
                f"n_train: expected at most {self.hierarchy.n_inputs - 2}, so that two of the "
                f"{self.hierarchy.n_inputs} inputs are left for the test, got {self.n_train}"
            )

    @property
    def hierarchy(self) -> RandomHierarchy:
        """The hierarchy, whose rules are set by the seed."""
        m, rules = self.n_synonyms, seeded_generator(self.seed, 2).initial_seed() % 2**32
        if self.n_empty is None:
            return RandomHierarchy(m, m, m, depth=self.levels, seed=rules)
        return SparseHierarchy(m, m, m, depth=self.levels, seed=rules, n_empty=self.n_empty)

    @property
    def scaled_n_train(self) -> float:
        """P / (n_c m^L), without the factor of a sparse hierarchy."""
        return self.n_train / self.n_synonyms ** (self.levels + 1)


@dataclass(frozen=True)
class TrainedHierarchy:
    """A net that was trained on a hierarchy, and its test inputs.

    Attributes:
        net: the net in eval mode, on the device of the configuration.
        hierarchy: the task.
        test: test inputs.
        row: verdict, errors, sizes and number of steps.
    """

    net: HierarchicalNet
    hierarchy: RandomHierarchy
    test: HierarchySample
    row: dict[str, Scalar]

    def sensitivities(self, config: HierarchyConfig) -> dict[str, Scalar]:
        """Sensitivities to synonyms and, for a sparse hierarchy, to deformations, on test inputs.

        `S_k_l` is that of hidden layer k to synonyms of level l, `D_k_l` that to deformations of level l;
        k = "out" stands for the logits.
        """
        changes = {"S": self.hierarchy.exchanged}
        if isinstance(self.hierarchy, SparseHierarchy) and self.hierarchy.n_empty:
            changes["D"] = self.hierarchy.deformed
        row: dict[str, Scalar] = {}
        device = model_device(self.net)
        before = self.hierarchy.inputs(self.test).to(device)
        for stream, (letter, change) in enumerate(changes.items()):
            for level in range(1, config.levels + 1):
                generator = seeded_generator(config.seed, 10 + 2 * level + stream)
                after = self.hierarchy.inputs(change(self.test, level, generator)).to(device)
                found = sensitivity(self.net, before, after, layers=PatchLayer)
                for k in range(config.levels):
                    row[f"{letter}_{k + 1}_{level}"] = found.layer(f"hidden.{k}")
                row[f"{letter}_out_{level}"] = found.output
        return row


def train_on_hierarchy(config: HierarchyConfig) -> TrainedHierarchy:
    """Train a hierarchical net until the loss of its training set is small.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
        ValueError: the device is not available.
    """
    device, hierarchy = usable_device(config.device), config.hierarchy
    n_test = min(config.n_test, hierarchy.n_inputs - config.n_train)
    train, test = hierarchy.split(config.n_train, n_test, seeded_generator(config.seed, 1))
    net = HierarchicalNet(hierarchy, config.width, seeded_generator(config.seed, 0)).to(device)
    inputs, labels = hierarchy.inputs(train).to(device), train.labels.to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=config.rate * config.width, momentum=config.momentum)
    state = TrainState(net, optimizer)
    loader = Loader(
        TensorPairs(inputs, labels), min(config.batch_size, config.n_train), shuffle=True, seed=config.seed
    )
    identity = {name: value for name, value in vars(config).items() if name != "device"}
    callbacks = [ReportProgress(config.steps), *checkpoint(state, fingerprint(identity), [])]
    trainer = Trainer(
        first_of(below("train_loss", config.loss_below), max_steps(config.steps), diverged()),
        observables={"train_loss": lambda state: _mean_loss(state.model, inputs, labels)},
        record=every(max(20, 2 * len(loader))),
        callbacks=callbacks,
        on_interrupt="raise",
    )
    if state.step < config.steps:
        trainer.fit(descend(state, cross_entropy, loader))
    net.eval()
    loss = _mean_loss(net, inputs, labels)
    error = classification_error(net, hierarchy.inputs(test), test.labels)
    row: dict[str, Scalar] = {
        "verdict": "FITTED" if loss < config.loss_below else "UNFITTED",
        "scaled_n_train": config.scaled_n_train,
        "train_loss": loss,
        "test_error": error.error,
        "relative_error": error.error / (1 - 1 / hierarchy.n_classes),
        "n_tested": error.n,
        "n_params": sum(p.numel() for p in net.parameters()),
        "steps_done": state.step,
    }
    return TrainedHierarchy(net, hierarchy, test, row)


def measure_hierarchies(configs: Sequence[HierarchyConfig]) -> list[Result]:
    """Train nets and measure errors and sensitivities on test inputs; rows as in `TrainedHierarchy`."""
    trained = ((config, train_on_hierarchy(config)) for config in configs)
    return [Result(each.row | each.sensitivities(config)) for config, each in trained]


@torch.no_grad()
def _mean_loss(net: nn.Module, inputs: Tensor, labels: Tensor, *, chunk: int = 4096) -> float:
    parts = zip(inputs.split(chunk), labels.split(chunk), strict=True)
    return float(torch.cat([cross_entropy(net(x), y) for x, y in parts]).mean())
