"""Logs of a training: CSV and TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from symnets.data.whole_file import whole_file
from symnets.training.callback import Callback
from symnets.training.state import TrainState

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class CSVLog(Callback):
    """Write the history to a CSV file after each record; the file is always whole."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """Replace the file."""
        with whole_file(self.path) as temporary:
            state.history.table().to_csv(temporary, index=False)


class TensorBoardLog(Callback):
    """Write each row to a TensorBoard folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        self.writer: SummaryWriter | None = None

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """Append the row."""
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter  # takes a second to import

            self.writer = SummaryWriter(self.folder, purge_step=state.step)
        for name, value in row.items():
            self.writer.add_scalar(name, value, state.step)
        self.writer.flush()

    def close(self) -> None:
        """Close the folder."""
        if self.writer is not None:
            self.writer.close()
