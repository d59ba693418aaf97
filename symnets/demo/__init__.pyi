from ._demo import Demo as Demo
from ._demo import seconds_per_step as seconds_per_step
from ._digits import DigitNet as DigitNet
from ._digits import DigitStability as DigitStability
from ._digits import digit_stability as digit_stability
from ._page import demo_page as demo_page

__all__ = [
    "Demo",
    "DigitNet",
    "DigitStability",
    "demo_page",
    "digit_stability",
    "seconds_per_step",
]
