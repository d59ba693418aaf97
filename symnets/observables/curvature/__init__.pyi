from ._estimators import Density as Density
from ._estimators import Eigenpairs as Eigenpairs
from ._estimators import Trace as Trace
from ._estimators import lanczos_density as lanczos_density
from ._estimators import top_eigenpairs as top_eigenpairs
from ._estimators import trace as trace
from ._operators import CurvatureOperator as CurvatureOperator
from ._operators import GaussNewtonOperator as GaussNewtonOperator
from ._operators import HessianOperator as HessianOperator
from ._operators import ResidualOperator as ResidualOperator
from ._spectrum import Inertia as Inertia
from ._spectrum import Spectrum as Spectrum
from ._spectrum import inertia as inertia
from ._spectrum import spectrum as spectrum
from ._split import HessianSplit as HessianSplit
from ._split import h0_spectrum as h0_spectrum
from ._split import hessian_split as hessian_split

__all__ = [
    "CurvatureOperator",
    "Density",
    "Eigenpairs",
    "GaussNewtonOperator",
    "HessianOperator",
    "HessianSplit",
    "Inertia",
    "ResidualOperator",
    "Spectrum",
    "Trace",
    "h0_spectrum",
    "hessian_split",
    "inertia",
    "lanczos_density",
    "spectrum",
    "top_eigenpairs",
    "trace",
]
