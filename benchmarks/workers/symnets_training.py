"""Train a MACE, or a NequIP with one implementation of the product; called by learning_curves.py."""

import json
import sys
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

from symnets.config import read_config
from symnets.demo import seconds_per_step
from symnets.ops import TensorProductScatter
from symnets.potentials import ModelConfig, TrainConfig, train

request = json.loads(sys.argv[1])
config = read_config(TrainConfig, Path(request["config"]))
if request["contestant"] != "mace":
    TensorProductScatter.__init__ = partialmethod(  # type: ignore[assignment]
        TensorProductScatter.__init__, implementation=request["contestant"]
    )
    config = replace(
        config,
        model=ModelConfig("NequIP", channels=32, parity=False),
        optimizer=replace(config.optimizer, weight_decay=0.02),
    )
# The schedule must end within the time with this implementation; the rest of the time is for validation.
epoch = seconds_per_step(config) * config.data.n_train / config.optimizer.batch_size
optimizer = replace(config.optimizer, epochs=max(1, int(0.95 * 60 * request["minutes"] / epoch)))
train(
    replace(config, optimizer=optimizer, output=request["output"], max_minutes=request["minutes"]),
    progress=False,
)
