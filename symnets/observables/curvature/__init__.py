"""Second derivatives of losses: matrices where they fit, operators and estimators where they do not."""

from symnets.observables.curvature.h0_spectrum import h0_spectrum
from symnets.observables.curvature.inertia import Inertia, inertia
from symnets.observables.curvature.lanczos import Density, lanczos_density
from symnets.observables.curvature.operators import (
    CurvatureOperator,
    GaussNewtonOperator,
    HessianOperator,
    ResidualOperator,
)
from symnets.observables.curvature.spectrum import Spectrum, spectrum
from symnets.observables.curvature.split import HessianSplit, hessian_split
from symnets.observables.curvature.top import Eigenpairs, top_eigenpairs
from symnets.observables.curvature.trace import Trace, trace

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
