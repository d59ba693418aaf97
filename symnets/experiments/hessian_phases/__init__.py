"""Hessians of nets at the end of their minimisation, in three phases.

**Question.** The loss of P patterns has the Hessian H = H0 + Hp: H0 = (1/P) Σ ℓ'' ∇f ∇f^T from the curvature
of the loss, Hp = (1/P) Σ ℓ' ∇²f from that of the net. What are their spectra with more weights than the
patterns need, at jamming, and with fewer?

**Law.** With the quadratic hinge only the N_Δ unsatisfied patterns count. Over-parametrised: there are none,
L = 0 and with it H = 0. At jamming N_Δ is finite while the overlaps Δ vanish: Hp = 0, and H = H0 has rank
N_Δ, that is, a δ at 0 of weight 1 - N_Δ/N. Under-parametrised: Hp fills the δ; the scale of its eigenvalues
grows as √L, for the mean square of the overlaps is 2 L P / N_Δ. The spectrum of Hp of ReLU nets is symmetric
or nearly so, with N_- ≈ N/2 negative eigenvalues. At a minimum H0 must lift them all: N_- ≤ N_Δ, so that N_Δ
jumps at jamming. One hidden layer is the exception: Hp couples an output weight with its own neuron alone,
and N_- = h exactly, N/(d + 1) in nets without biases. Geiger et al. 2019, arXiv:1809.09349.

**How.** Full-batch Adam (`symnets.experiments.nets`) in float64, then both parts of the Hessian in closed
form (`symnets.observables.curvature`), and N_- by inertia. N is here the number of rows of the Hessian,
biases included. The inputs of a ReLU neuron can be scaled against its outputs at no change of f, so the rank
of H0 is at most N - h L. Patterns within `tolerance` of the margin count as satisfied; the Hessian of SAT
nets has them nevertheless, and is not zero by definition. What is compared is Hp, whose ℓ' = -Δ is as small
as the overlaps; ℓ'' = 1 at any of them, so that H0 = 0 only where L is 0 to the last bit. Patterns for which
a whole layer is off can be trapped: they add to L, and nothing to Hp. Runs of which all unsatisfied
patterns are trapped (Hp = 0) are left out.

States at jamming are reached by decompression (`symnets.experiments.decompression`): from a minimum with too
many patterns, some are taken away, and the rest minimised again, until it can be satisfied. The minima on the
way have losses over several decades; the √L law is fitted to those of each net below L = 0.03.

**Figure.** Spectra of H, H0 and Hp in the three phases, of one net each; N_-/N against depth; the scale of Hp
against L.
"""

from symnets.experiments.hessian_phases.config import MAX_TOGETHER, PRESETS, Config, together
from symnets.experiments.hessian_phases.figure import figure
from symnets.experiments.hessian_phases.findings import findings
from symnets.experiments.hessian_phases.measure import run

__all__ = ["MAX_TOGETHER", "PRESETS", "Config", "figure", "findings", "run", "together"]
