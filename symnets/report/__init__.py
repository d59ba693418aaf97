"""Figures, tables and the HTML report."""

from symnets.report.demo_page import demo_page
from symnets.report.energy_drift import energy_drift
from symnets.report.error_table import error_table
from symnets.report.html import Facts, Picture, Section, Table, html_report
from symnets.report.learning_curve import learning_curve
from symnets.report.parity import parity
from symnets.report.picture import png, save_picture
from symnets.report.style import style

__all__ = [
    "Facts",
    "Picture",
    "Section",
    "Table",
    "demo_page",
    "energy_drift",
    "error_table",
    "html_report",
    "learning_curve",
    "parity",
    "png",
    "save_picture",
    "style",
]
