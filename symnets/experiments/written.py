"""What was written of a sweep."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from symnets.experiments.experiment import Finding
from symnets.experiments.table import split_failed


@dataclass(frozen=True)
class WriteUp:
    """What was written, where, and what it says."""

    table: pd.DataFrame
    """All runs, failed ones too."""
    findings: tuple[Finding, ...]
    files: tuple[Path, ...]

    @property
    def failed(self) -> pd.DataFrame:
        """The runs that raised an exception."""
        return split_failed(self.table)[1]
