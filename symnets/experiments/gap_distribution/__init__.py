"""Distributions of gaps at jamming, and their exponents; exploratory.

**Question.** At the jamming point of a net, how many unsatisfied patterns have a small overlap Δ > 0, and how
many satisfied ones a small gap Δ < 0? In packings of spheres and ellipses both distributions are power laws;
their exponents tell the universality class.

**Law.** P_+(Δ) ~ Δ^θ and P_-(Δ) ~ (-Δ)^-γ with θ ≈ 0.3 and γ ≈ 0.2, as for ellipses. Geiger et al. 2019,
arXiv:1809.09349.

**How.** Nets are minimised above jamming, by full-batch Adam (`symnets.experiments.nets`), and decompressed:
patterns are taken away in random order, with a minimisation after each step, until the loss vanishes. In a
net of a few hundred weights the loss of the last minimum is not small: a pattern less, and it falls to zero,
slowly, with most of the overlaps still there. Two states of each net are kept: the last minimum, and that in
which the falling loss passes `verge` (10^-5). The former is a minimum; the latter is nearer to jamming, for
its overlaps are far smaller than the gaps, as the law of gaps needs. Exponents are fitted to both.

Overlaps are measured in units of their mean in each net, gaps in units of the margin: the ones shrink to zero
at jamming, the others do not. The law of overlaps is fitted below their mean, the law of gaps above the mean
overlap (nearer to zero, overlaps and gaps are one smooth distribution) and below the margin. Fits are by
maximum likelihood, without bins; errors are from resampling whole nets. Two decades at most, and nets that
are small: the exponents have systematic errors beyond those stated.

**Figure.** Loss against patterns on the way down; both distributions, of both states, with their fits.
"""

from symnets.experiments.gap_distribution.config import MAX_TOGETHER, PRESETS, Config, together
from symnets.experiments.gap_distribution.exponents import findings
from symnets.experiments.gap_distribution.figure import figure
from symnets.experiments.gap_distribution.run import run

__all__ = ["MAX_TOGETHER", "PRESETS", "Config", "figure", "findings", "run", "together"]
