"""The error table in common units."""

import pytest

from symnets.observables import errors
from symnets.report import error_table, three_digits
from tests.report.samples import predictions


def test_rows_are_in_milli_units() -> None:
    rows = {row.quantity + " " + row.unit: row for row in error_table(errors(predictions(stress=True)))}
    assert rows["energy meV"].rmse == "5.00"
    assert rows["energy per atom meV/atom"].mae == "1.67"
    assert rows["forces meV/Å"].rmse == "20.0"
    assert rows["forces on C meV/Å"].n == "12"
    assert rows["forces on O meV/Å"].n == "24"
    assert rows["stress meV/Å³"].rmse == "1.00"
    assert rows["stress GPa"].rmse == "0.160"  # 1 meV/Å³ is 0.1602 GPa


def test_unlabelled_quantities_have_no_row() -> None:
    rows = error_table(errors(predictions(forces=False)))
    assert {row.unit for row in rows} == {"meV", "meV/atom"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01234, "0.0123"),
        (0.9999, "1.00"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (99.96, "100"),
        (-1234.5, "-1,234"),
    ],
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert three_digits(value) == text
