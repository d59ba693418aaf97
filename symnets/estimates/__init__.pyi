from ._cusp import cusp as cusp
from ._cusp import cusp_fall as cusp_fall
from ._cusp import cusp_rise as cusp_rise
from ._estimate import Estimate as Estimate
from ._estimate import from_resamples as from_resamples
from ._estimate import geometric_mean as geometric_mean
from ._estimate import mean_over_seeds as mean_over_seeds
from ._net_curves import NetCurves as NetCurves
from ._net_curves import Seeds as Seeds
from ._net_curves import by_net as by_net
from ._net_curves import log_correlation as log_correlation
from ._net_curves import rank_correlation as rank_correlation
from ._power_law import PowerLaw as PowerLaw
from ._power_law import fit_power_law as fit_power_law
from ._power_law import fit_power_law_at as fit_power_law_at
from ._power_law import fit_power_law_seeds as fit_power_law_seeds
from ._seed_curve import SeedCurve as SeedCurve
from ._size_curves import SizeCurves as SizeCurves
from ._size_curves import jamming_size as jamming_size
from ._transition import transition as transition

__all__ = [
    "Estimate",
    "NetCurves",
    "PowerLaw",
    "SeedCurve",
    "Seeds",
    "SizeCurves",
    "by_net",
    "cusp",
    "cusp_fall",
    "cusp_rise",
    "fit_power_law",
    "fit_power_law_at",
    "fit_power_law_seeds",
    "from_resamples",
    "geometric_mean",
    "jamming_size",
    "log_correlation",
    "mean_over_seeds",
    "rank_correlation",
    "transition",
]
