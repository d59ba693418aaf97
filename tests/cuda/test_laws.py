"""Physical laws of force fields on a GPU."""

from functools import cache

import pytest
import torch

from symnets.models import ForceField
from symnets.testing import LAWS, Law
from tests.models.small import MODELS, force_field


@cache
def model(name: str, device: torch.device) -> ForceField:
    return force_field(name).to(device).eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("name", MODELS)
def test_law(name: str, law: Law, device: torch.device) -> None:
    law(model(name, device))
