"""Tables of a report for the terminal."""

import rich.table
from rich.text import Text

from symnets.report._html import Table

_AGREEMENT = {"yes": "green", "NO": "red"}


def terminal_table(table: Table, title: str | None = None) -> rich.table.Table:
    """A table of a report in the form that `rich.console.Console.print` takes.

    Args:
        table: its caption is left out; the cells "yes" and "NO" are shown in green and red.
        title: a line above the table.
    """
    shown = rich.table.Table(*table.header, title=title, title_justify="left")
    for row in table.rows:
        shown.add_row(*(Text(str(cell), style=_AGREEMENT.get(str(cell), "")) for cell in row))
    return shown
