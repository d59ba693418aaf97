"""Each law for every model."""

from functools import cache

import pytest
import torch
from jaxtyping import config
from torch_geometric.data import Batch

from symnets.data import build_graphs
from symnets.models import ForceField
from symnets.testing import LAWS, Law, equivariance_error
from symnets.testing._structures import sample_structures
from tests.laws.models import MODELS, NEQUIPS, SLOW


@cache
def model(name: str) -> ForceField:
    """The model in float64 and evaluation mode, built once."""
    return MODELS[name]().double().eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MODELS]
)
def test_law(name: str, law: Law) -> None:
    """The first law calls every layer with its annotations checked; the others call the same layers again."""
    config.update("jaxtyping_disable", law is not LAWS[0])
    try:
        law(model(name))
    finally:
        config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NEQUIPS]
)
def test_equivariance_is_exact_to_rounding(name: str, dtype: torch.dtype, tolerance: float) -> None:
    force_field = MODELS[name]().to(dtype).eval()
    for seed in range(3):
        graphs = build_graphs(
            sample_structures(force_field.species, seed=seed), force_field.cutoff, dtype=dtype
        )
        assert equivariance_error(force_field, Batch.from_data_list(graphs), seed) < tolerance
