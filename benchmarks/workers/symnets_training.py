"""Train symnets with one implementation of the product; called by learning_curves.py."""

import json
import sys
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

from symnets.experiments.config import read_config
from symnets.experiments.potential import TrainConfig, train
from symnets.ops import TensorProductScatter

request = json.loads(sys.argv[1])
TensorProductScatter.__init__ = partialmethod(  # type: ignore[assignment]
    TensorProductScatter.__init__, implementation=request["implementation"]
)
config = read_config(TrainConfig, Path(request["config"]))
output = Path(request["output"])
train(replace(config, output=str(output), max_minutes=request["minutes"]), progress=False)
