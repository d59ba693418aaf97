"""The table of a sweep: one line for each run, read from the directories of the runs."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from symnets.files import whole_file
from symnets.sweeps._experiment import Arrays, Scalar
from symnets.sweeps._find import source_hash
from symnets.sweeps._store import Run, read_arrays, read_run, run_hashes


class Table:
    """Tables of runs, as pandas DataFrames."""

    @staticmethod
    def load(directory: str | Path, experiment: str | None = None) -> pd.DataFrame:
        """All runs in a directory, sorted by experiment and configuration.

        The index is the hash of a run. Columns: `experiment`, the fields of the config, what was measured
        (`verdict` included), `error` (NaN if there was none), `seconds`, `commit` and `code_hash`. A field
        that a run does not have, such as one that was added to the configuration later, is a missing value.

        Args:
            directory: directory of a sweep.
            experiment: name of an experiment, to load its runs only.

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
        return table_of(sorted(runs, key=_order(runs)))

    @staticmethod
    def arrays(directory: str | Path) -> Arrays:
        """A function from the hash of a run in a directory to its arrays."""
        return lambda name: read_arrays(Path(directory) / name)


def table_of(runs: Iterable[Run]) -> pd.DataFrame:
    """The table of runs, in the given order; a table without rows if there are none."""
    runs = list(runs)
    lines = [
        {"experiment": run.experiment}
        | run.config
        | run.row
        | {"error": run.error, "seconds": run.seconds, "commit": run.commit, "code_hash": run.code_hash}
        for run in runs
    ]
    names: dict[str, None] = dict.fromkeys(["experiment"])  # configs first, even if the first run failed
    for part in ("config", "row"):
        names |= dict.fromkeys(name for run in runs for name in getattr(run, part))
    names.pop("verdict", None)
    columns = [*names, "verdict", "error", "seconds", "commit", "code_hash"]
    index = pd.Index([run.hash for run in runs], name="hash", dtype="str")
    values = {name: _column([line.get(name) for line in lines]) for name in columns}
    return pd.DataFrame(values, index=index, columns=pd.Index(columns))


def _column(values: list[Scalar]) -> Any:
    """Values for a column, as Python objects if a float or 64-bit integer would change a whole number."""
    large = any(isinstance(value, int) and abs(value) > 2**53 for value in values)
    mixed = any(not isinstance(value, int) for value in values)
    within = all(-(2**63) <= value < 2**63 for value in values if isinstance(value, int))
    return np.array(values, dtype=object) if large and (mixed or not within) else values


def outdated(table: pd.DataFrame) -> pd.Series:
    """For each row of a table, whether the run was made by other code than the present code.

    The value is False if that is unknown: runs of early versions have no hash, and the module may be missing.
    """
    now = {name: source_hash(str(name)) for name in table["experiment"].unique()}
    pairs = zip(table["experiment"], table["code_hash"], strict=True)
    flags = [isinstance(made, str) and now[name] is not None and made != now[name] for name, made in pairs]
    return pd.Series(flags, index=table.index, dtype=bool)


def outdated_note(table: pd.DataFrame) -> str | None:
    """A sentence on the runs that were made by other code and how to repeat them; None if there are none."""
    n, unknown = (int(flags.to_numpy().sum()) for flags in (outdated(table), table["code_hash"].isna()))
    notes = []
    if n:
        notes.append(
            f"{n} of {len(table)} runs were made by other code: the experiment, a module beside it or the "
            "version of symnets has changed since. `symnets sweep` with --retry-outdated repeats those of "
            "its grid; delete the directories of others"
        )
    if unknown:
        notes.append(f"{unknown} of {len(table)} runs do not record the code that made them")
    return "; ".join(notes) or None


def split_failed(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the runs that succeeded, and of those that raised an exception."""
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
            table.to_csv(temporary, encoding="utf-8")
            return
        try:
            table.apply(_of_one_type).to_parquet(temporary)
        except ImportError as error:
            raise ImportError("parquet files need pyarrow: pip install 'symnets[parquet]'") from error


def _of_one_type(column: pd.Series) -> pd.Series:
    """A column that a Parquet file can hold: values of several types, or beyond 64 bits, become text."""
    kinds = {type(value) for value in column if value is not None and value == value}
    if column.dtype != object or (len(kinds) < 2 and all(abs(v) < 2**63 for v in column if type(v) is int)):
        return column
    return column.map(lambda value: None if value is None or value != value else str(value)).astype("str")


def _order(runs: Iterable[Run]) -> Callable[[Run], tuple[Any, ...]]:
    """Key that sorts runs by experiment and configuration; configurations may differ in their fields."""
    names = dict.fromkeys(name for run in sorted(runs, key=lambda run: run.hash) for name in run.config)

    def key(run: Run) -> tuple[Any, ...]:
        # None, numbers and text cannot be compared: sort them in this order.
        values = (run.config.get(name) for name in names)
        parts = ((v is not None, isinstance(v, str), v if v is not None else 0) for v in values)
        return (run.experiment, *parts, run.hash)

    return key
