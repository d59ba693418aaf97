"""Figures, tables and the HTML report."""

from symnets.report.demo_page import demo_page
from symnets.report.energy_drift import energy_drift
from symnets.report.error_table import error_table
from symnets.report.html import Facts, Picture, Section, Table, html_report
from symnets.report.learning_curve import learning_curve
from symnets.report.parity import parity
from symnets.report.picture import png, save_figure, save_picture, svg
from symnets.report.power_law import PowerLaw, fit_power_law, fit_power_law_at, fit_power_law_seeds
from symnets.report.published import draw_published, draw_published_exponent
from symnets.report.style import style

__all__ = [
    "Facts",
    "Picture",
    "PowerLaw",
    "Section",
    "Table",
    "demo_page",
    "draw_published",
    "draw_published_exponent",
    "energy_drift",
    "error_table",
    "fit_power_law",
    "fit_power_law_at",
    "fit_power_law_seeds",
    "html_report",
    "learning_curve",
    "parity",
    "png",
    "save_figure",
    "save_picture",
    "style",
    "svg",
]
