"""`symnets train`: a potential from a YAML configuration."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml
from rich.console import Console

from symnets.experiments.config import parse_config, read_config
from symnets.experiments.potential import train
from symnets.experiments.potential_config import DataConfig, TrainConfig
from symnets.training import INTERRUPTED


@dataclass(frozen=True)
class Train:
    """Train a potential as a YAML file says; options replace what the file says.

    The folder --output then holds model.safetensors (the best on the validation structures),
    history.csv, TensorBoard logs and a checkpoint. Ctrl-C keeps the checkpoint; --resume goes
    on from it as if nothing had happened. With another --model.architecture that architecture's
    own defaults are taken, with the file's cutoff.

    Example:
        symnets train examples/acac.yaml --model.channels 64 --output runs/acac64
    """

    file: tyro.conf.Positional[Path]
    """YAML file with the fields below, such as examples/acac.yaml."""
    settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: TrainConfig(data=DataConfig(train="train.xyz"), output="runs/model")
    )
    resume: bool = False
    """Go on from the checkpoint in --output; start anew if there is none."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Train":
        """The command with defaults from the file named by the first argument."""
        default: Any = tyro.MISSING
        if arguments and not arguments[0].startswith("-"):
            file = Path(arguments[0])
            default = cls(file, _with_architecture(read_config(TrainConfig, file), file, arguments))
        return tyro.cli(
            cls,
            prog="symnets train",
            args=list(arguments),
            default=default,
            config=(tyro.conf.AvoidSubcommands,),
        )

    def run(self) -> int:
        """Train, with a progress bar; 0 when done, 130 if interrupted."""
        state = train(self.settings, resume=self.resume)
        console, folder = Console(stderr=True), Path(self.settings.output)
        console.print(f"stopped at step {state.step}: {state.history.reason}; see {folder}", soft_wrap=True)
        if state.history.reason == INTERRUPTED:
            console.print("go on with the same command and --resume")
            return 130
        return 0


def _with_architecture(config: TrainConfig, file: Path, arguments: Sequence[str]) -> TrainConfig:
    """The configuration, for the architecture the options ask for."""
    option = "--model.architecture"
    wanted = [a.split("=", 1)[1] for a in arguments if a.startswith(f"{option}=")]
    wanted += [after for a, after in itertools.pairwise(arguments) if a == option]
    if not wanted or wanted[-1] == config.model.architecture:
        return config
    values: dict[str, Any] = dict(yaml.safe_load(file.read_text()))
    model: Mapping[str, Any] = {"architecture": wanted[-1], "cutoff": config.model.cutoff}
    return parse_config(TrainConfig, values | {"model": model}, where=option)
