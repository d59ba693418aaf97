from ._energy_drift import energy_drift_figure as energy_drift_figure
from ._errors import error_table as error_table
from ._errors import parity as parity
from ._html import Facts as Facts
from ._html import Picture as Picture
from ._html import Section as Section
from ._html import Table as Table
from ._html import html_report as html_report
from ._html import three_digits as three_digits
from ._learning_curve import learning_curve as learning_curve
from ._phase_space import phase_space as phase_space
from ._seed_curve import draw_seed_curve as draw_seed_curve
from ._stability import deformed_samples as deformed_samples
from ._stability import stability_figure as stability_figure
from ._style import COLORS as COLORS
from ._style import FAINT as FAINT
from ._style import colors as colors
from ._style import draw_power_law as draw_power_law
from ._style import draw_published as draw_published
from ._style import draw_published_exponent as draw_published_exponent
from ._style import logarithmic as logarithmic
from ._style import png as png
from ._style import row_of_panels as row_of_panels
from ._style import save_figure as save_figure
from ._style import save_picture as save_picture
from ._style import style as style
from ._style import svg as svg
from ._style import write as write
from ._tensor_errors import tensor_parity as tensor_parity
from ._tensor_errors import tensor_table as tensor_table
from ._terminal import terminal_table as terminal_table
from ._ticks import mark_values as mark_values

__all__ = [
    "COLORS",
    "FAINT",
    "Facts",
    "Picture",
    "Section",
    "Table",
    "colors",
    "deformed_samples",
    "draw_power_law",
    "draw_published",
    "draw_published_exponent",
    "draw_seed_curve",
    "energy_drift_figure",
    "error_table",
    "html_report",
    "learning_curve",
    "logarithmic",
    "mark_values",
    "parity",
    "phase_space",
    "png",
    "row_of_panels",
    "save_figure",
    "save_picture",
    "stability_figure",
    "style",
    "svg",
    "tensor_parity",
    "tensor_table",
    "terminal_table",
    "three_digits",
    "write",
]
