"""The table of a sweep: one line for each run, read from the directories of the runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from symnets.files import whole_file
from symnets.sweeps._experiment import Arrays
from symnets.sweeps._store import Run, read_arrays, read_run, run_hashes


class Table:
    """Tables of runs, as pandas DataFrames."""

    @staticmethod
    def load(directory: str | Path, experiment: str | None = None) -> pd.DataFrame:
        """All runs in a directory, sorted by experiment and configuration.

        The index is the hash of a run. Columns: `experiment`, the fields of the config, what was measured
        (`verdict` included), `error` (NaN if there was none), `seconds` and `commit`.

        Args:
            directory: of a sweep.
            experiment: name of an experiment, for its runs only.

        Raises:
            FileNotFoundError: there is no such directory.
            ValueError: a run is damaged.
        """
        directory = Path(directory)
        if not directory.is_dir():
            raise FileNotFoundError(f"{directory}: there is no such directory of runs")
        runs = [read_run(directory / name) for name in run_hashes(directory)]
        if experiment is not None:
            runs = [run for run in runs if run.experiment == experiment]
        return table_of(sorted(runs, key=_order))

    @staticmethod
    def arrays(directory: str | Path) -> Arrays:
        """A function from the hash of a run in a directory to its arrays."""
        return lambda name: read_arrays(Path(directory) / name)


def table_of(runs: Iterable[Run]) -> pd.DataFrame:
    """The table of runs, in their order; a table without lines if there are none."""
    runs = list(runs)
    lines = [
        {"experiment": run.experiment}
        | run.config
        | run.row
        | {"error": run.error, "seconds": run.seconds, "commit": run.commit}
        for run in runs
    ]
    names: dict[str, None] = dict.fromkeys(["experiment"])  # configs first, even if the first run failed
    for part in ("config", "row"):
        names |= dict.fromkeys(name for run in runs for name in getattr(run, part))
    names.pop("verdict", None)
    columns = [*names, "verdict", "error", "seconds", "commit"]
    index = pd.Index([run.hash for run in runs], name="hash", dtype="str")
    return pd.DataFrame(lines, index=index, columns=pd.Index(columns))


def split_failed(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The lines of runs that succeeded, and of those that raised an exception."""
    failed = table["error"].notna().to_numpy()
    return table.loc[~failed], table.loc[failed]


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Writes a table to a .csv or .parquet file, under a temporary name until it is complete.

    Raises:
        ValueError: the file name has another ending.
        ImportError: parquet needs pyarrow.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"{path}: expected a name that ends in .csv or .parquet")
    with whole_file(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary)
            return
        try:
            table.to_parquet(temporary)
        except ImportError as error:
            raise ImportError("parquet files need pyarrow: pip install 'symnets[parquet]'") from error


def _order(run: Run) -> tuple[Any, ...]:
    # None, numbers and text cannot be compared: sort them in this order.
    parts = ((v is not None, isinstance(v, str), v if v is not None else 0) for v in run.config.values())
    return (run.experiment, *parts, run.hash)
