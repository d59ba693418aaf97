"""Formulas in running text, `$...$`, as pictures that matplotlib typesets."""

import re
from base64 import b64encode
from functools import cache
from io import BytesIO

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image

# As in pandoc's Markdown, so that "from $5 to $6" is no formula.
_FORMULA = re.compile(r"\$(?!\s)([^$]+?)(?<!\s)\$(?!\d)")
_SIZE = 12
"""Font size in points that equals 16 CSS pixels, the font size of the page."""


def with_formulas(text: str) -> Markup:
    """HTML of a text, escaped, with its formulas as inline pictures; their TeX is the alternative text.

    What matplotlib's mathtext cannot typeset stays as it is written.
    """
    parts = _FORMULA.split(text)
    return Markup("").join(_formula(part) if k % 2 else escape(part) for k, part in enumerate(parts))


@cache
def _formula(tex: str) -> Markup:
    """One formula as an SVG picture on the base line of the text."""
    picture = BytesIO()
    try:
        with rc_context({"svg.hashsalt": "symnets", "mathtext.fontset": "cm", "savefig.transparent": True}):
            depth = math_to_image(
                f"${' '.join(tex.split())}$", picture, prop=FontProperties(size=_SIZE), dpi=72, format="svg"
            )
    except ValueError:  # a command that mathtext does not know, or unbalanced braces
        return escape(f"${tex}$")
    return Markup(
        '<img class="formula" alt="{}" style="vertical-align:{:.3f}em" src="data:image/svg+xml;base64,{}">'
    ).format(" ".join(tex.split()), -depth / _SIZE, b64encode(picture.getvalue()).decode("ascii"))
