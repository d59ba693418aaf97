"""`symnets train`: a potential from a YAML configuration."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from symnets.cli._parse import parse
from symnets.config import read_config
from symnets.files import expanded
from symnets.potentials import DataConfig, ModelConfig, TrainConfig, train
from symnets.training import INTERRUPTED, is_first_process


@dataclass(frozen=True)
class Train:
    """Train a potential from a YAML file; options replace values of the file.

    The folder --output then contains model.safetensors (the best on the validation structures),
    history.csv, TensorBoard logs and a checkpoint. Ctrl-C keeps the checkpoint, and --resume continues
    from it, to the same weights as without interruption. With another --model.architecture, the model has
    the cutoff of the file and otherwise the defaults of that architecture.

    Example:
        symnets train examples/acac.yaml --model.channels 64 --output runs/acac64
    """

    file: tyro.conf.Positional[Path]
    """YAML file with the fields below, such as examples/acac.yaml."""
    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]
    resume: bool = False
    """Continue from the checkpoint in --output; start anew if there is none."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Train":
        """The command with defaults from the configuration file, which may come after some options."""
        index = _file_index(arguments)
        if index is not None:
            file = expanded(arguments[index])
            arguments = [arguments[index], *arguments[:index], *arguments[index + 1 :]]
            config = read_config(TrainConfig, file)
        elif {"-h", "--help"} & set(arguments):
            file = tyro.MISSING
            config = TrainConfig(data=DataConfig(train="mine.xyz"), output="runs/mine")
        else:
            raise ValueError(
                "name a configuration file first, such as `symnets train mine.yaml`; "
                "`symnets train --help` lists its fields"
            )
        default = cls(file, _with_architecture(config, arguments))
        # If the file has no section finetune, tyro would turn that section into a subcommand.
        return parse(cls, "train", arguments, default=default, config=(tyro.conf.AvoidSubcommands,))

    def run(self) -> int:
        """Train with progress on standard error; returns 0 when done, 130 if interrupted."""
        state = train(self.settings, resume=self.resume, summary=True)
        interrupted = state.history.reason == INTERRUPTED
        if not is_first_process():
            return 130 if interrupted else 0
        console, folder = Console(stderr=True), expanded(self.settings.output)
        console.print(f"stopped at step {state.step}: {state.history.reason}; see {folder}", soft_wrap=True)
        if interrupted or "wall time" in state.history.reason:
            console.print("pass --resume to the same command to continue", soft_wrap=True)
        return 130 if interrupted else 0


def _file_index(arguments: Sequence[str]) -> int | None:
    """Index of the configuration file: the first argument, unless it is an option; else the first *.yaml."""
    if arguments and not arguments[0].startswith("-"):
        return 0
    for index, argument in enumerate(arguments):
        if argument.endswith((".yaml", ".yml")) and not argument.startswith("-"):
            return index
    for index, (before, argument) in enumerate(itertools.pairwise(arguments), start=1):
        # An argument after another option may be its value, such as a file of structures.
        if Path(argument).is_file() and (not before.startswith("-") or before == "--resume"):
            return index
    return None


def _with_architecture(config: TrainConfig, arguments: Sequence[str]) -> TrainConfig:
    """The configuration with the architecture that the options name."""
    option = "--model.architecture"
    named = [a.split("=", 1)[1] for a in arguments if a.startswith(f"{option}=")]
    named += [after for a, after in itertools.pairwise(arguments) if a == option]
    if not named or named[-1] == config.model.architecture:
        return config
    return replace(config, model=ModelConfig(named[-1], cutoff=config.model.cutoff))
