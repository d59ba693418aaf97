"""Distributions of gaps at jamming, and their exponents; exploratory.

**Question.** At the jamming point of a net, how many unsatisfied patterns have a small overlap Δ > 0, and how
many satisfied ones a small gap Δ < 0? In packings of spheres and ellipses both distributions are power laws;
their exponents tell the universality class.

**Law.** P_+(Δ) ~ Δ^θ and P_-(Δ) ~ (-Δ)^-γ with θ ≈ 0.3 and γ ≈ 0.2, as for ellipses. Geiger et al. 2019,
arXiv:1809.09349.

**How.** Nets are minimised above jamming, by full-batch Adam (`symnets.experiments.nets`), and decompressed
(`symnets.experiments.decompression`): patterns are taken away in random order, with a minimisation after each
step, until the rest can be satisfied. The last minimum before that is the state nearest to jamming. In a net
of a few hundred weights its loss is between 10^-6 and 10^-3: with one pattern less the loss falls to zero at
once. States on that fall are no minima, and patterns that just left contact pile up at small gaps: they are
not used.

Overlaps are measured in units of their mean in each net, gaps in units of the margin: the ones shrink to zero
at jamming, the others do not. The law of overlaps is fitted from 0.01 to 0.3 of their mean; the law of gaps
from three mean overlaps of the net (nearer to zero, overlaps and gaps are one smooth distribution) to half
the margin (gaps are a few margins on average). Fits are by maximum likelihood, without bins; errors are from
resampling whole nets. Two decades at most, and small nets: the exponents have systematic errors beyond those
stated.

**Figure.** Loss against patterns on the way down; both distributions with their fits.
"""

from symnets.experiments.gap_distribution.config import MAX_TOGETHER, PRESETS, Config, together
from symnets.experiments.gap_distribution.exponents import findings
from symnets.experiments.gap_distribution.figure import figure
from symnets.experiments.gap_distribution.run import run

__all__ = ["MAX_TOGETHER", "PRESETS", "Config", "figure", "findings", "run", "together"]
