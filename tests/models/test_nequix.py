"""Nequix: options that are checked."""

import pytest

from symnets.models import Nequix


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("irreps", ["4x1o+4x0e", "4x0o", "0x0e+4x1o", ""])
def test_irreps_begin_with_even_scalars(irreps: str, layers: int) -> None:
    with pytest.raises(ValueError, match=r"irreps: expected even scalars first, such as .*, got"):
        Nequix(["H"], irreps=irreps, layers=layers, irreps_last="4x0e")


def test_paths_lead_to_all_irreps() -> None:
    with pytest.raises(ValueError, match=r"irreps: no path leads to some of 4x0e\+2x1e in layer 1"):
        Nequix(["H"], irreps="4x0e+2x1e", layers=2)
