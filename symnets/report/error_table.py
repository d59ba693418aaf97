"""The table of errors that `symnets evaluate` prints and reports show."""

from typing import NamedTuple

from symnets.observables.errors import Error, Errors

GPA = 160.21766208
"""Gigapascal in one eV/Å³."""


class ErrorRow(NamedTuple):
    """One line of the table, as text."""

    quantity: str
    mae: str
    rmse: str
    unit: str
    n: str


def error_table(errors: Errors) -> list[ErrorRow]:
    """Errors as lines of text in meV, meV/Å and GPa; what was never labelled has no line.

    Three significant digits, or whole numbers from 100 on.
    """
    rows = [
        _row("energy per atom", errors.energy_per_atom, "meV/atom"),
        _row("energy", errors.energy, "meV"),
        _row("energy, mean error removed", errors.energy_shifted, "meV"),
        _row("forces", errors.forces, "meV/Å"),
    ]
    if len(errors.forces_by_species) > 1:
        rows += [_row(f"forces on {symbol}", e, "meV/Å") for symbol, e in errors.forces_by_species.items()]
    rows.append(_row("stress", errors.stress, "meV/Å³"))
    rows.append(_row("stress", errors.stress, "GPa", scale=GPA))
    return [row for row in rows if row is not None]


def _row(quantity: str, error: Error | None, unit: str, *, scale: float = 1000.0) -> ErrorRow | None:
    if error is None:
        return None
    return ErrorRow(quantity, digits(error.mae * scale), digits(error.rmse * scale), unit, f"{error.n:,}")


def digits(value: float) -> str:
    """Three significant digits without an exponent where that reads well: 0.0123, 1.23, 12.3, 1,234."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.9995:
        return f"{value:.2f}"
    return f"{value:#.3g}"
