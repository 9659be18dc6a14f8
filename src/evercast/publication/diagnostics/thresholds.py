"""The thresholds of all checks, each with its reason.

A comparison of distributions has two: a probability, because small samples differ by chance, and a size, because in
large samples a difference that matters to nobody is significant. It is green if either says so.
"""

from __future__ import annotations

from typing import Final

from evercast.publication.diagnostics.check import Limits

__all__ = [
    "ASIMOV", "BINNED_GAP", "CALIBRATION", "CLOSURE", "COVERAGE", "DISTANCE_OF_DATA", "DRAWN_EVENTS", "ENSEMBLE_NOISE",
    "GRADIENT", "HOLDOUT_LOSS", "INJECTION", "KOLMOGOROV", "LARGEST_WEIGHT", "MORPH_ERROR", "NEGATIVE_INTENSITY",
    "NORMALISATION", "PAIR", "PARITY", "SATURATION", "SELECTED_EVENTS", "SIZE", "STANDARD_ERROR", "TWO_SAMPLE",
]  # fmt: skip

_P_GREEN: Final = 0.01
"""One false alarm in a hundred comparisons that are right; divided by the number of comparisons in one check."""
_P_AMBER: Final = 1e-4
"""Far below what the hundreds of comparisons of a run produce by chance."""

KOLMOGOROV: Final = Limits(amber=0.02, red=0.05, p_green=_P_GREEN, p_amber=_P_AMBER)
"""1: two hundredths of the events moved between scores is less than what a template of 20 bins resolves (one bin is
0.05)."""
HOLDOUT_LOSS: Final = Limits(amber=0.02, red=0.05, p_green=_P_GREEN, p_amber=_P_AMBER)
"""1: nats per event; without any knowledge the loss is ln 2 = 0.69. A gap of 0.02 belongs to an error of log r of 0.3
where the classes are equal: half of it is the rise s (1 - s) delta^2 / 2 of the holdout loss."""
CALIBRATION: Final = Limits(amber=0.02, red=0.05, p_green=_P_GREEN, p_amber=_P_AMBER)
"""2: an error of the score of 0.02 is one of 0.08 in log r where the classes are equal."""
CLOSURE: Final = Limits(amber=0.02, red=0.05, p_green=_P_GREEN, p_amber=_P_AMBER)
"""3: share of events in the wrong bin; 2 % is below the modelling uncertainty of most simulations, 5 % above it."""
TWO_SAMPLE: Final = Limits(amber=0.02, red=0.05, p_green=_P_GREEN, p_amber=_P_AMBER)
"""3: area under the curve minus 1/2; 0.02 belongs to two normal distributions 0.07 standard deviations apart."""
NORMALISATION: Final = Limits(amber=0.02, red=0.10, p_green=_P_GREEN, p_amber=_P_AMBER)
"""4: E_ref[r] and Z at alpha = +-1 are 1 for densities. They are divided out, so that what is left is their effect on
the shape: 2 % is small against it, 10 % says that the network has not learned a ratio of densities."""
MORPH_ERROR: Final = Limits(amber=0.02, red=0.10)
"""4: relative statistical error of Z on the reference within |alpha| <= 2: it is an error on the yield of a
process."""
SATURATION: Final = Limits(amber=0.01, red=0.20)
"""5: share of events with |log r| > 15. There scores in single precision end and so do the events to learn from; such
events are certain to be of one class, which is no harm while they are few."""
LARGEST_WEIGHT: Final = Limits(amber=0.01, red=0.05)
"""5: share of a single event in the reference reweighted to a process: it is a fluctuation of that size in every
result."""
SIZE: Final = Limits(amber=1000.0**-0.5, red=100.0**-0.5)
"""5: 1 / sqrt(effective sample size). Below 1000 effective events a network of any size learns fluctuations; below 100
not even the yield is known to 10 %."""
SELECTED_EVENTS: Final = Limits(amber=100.0**-0.5, red=10.0**-0.5)
"""1 / sqrt(effective sample size) of a selected sample: templates need fewer events than networks."""
DRAWN_EVENTS: Final = Limits(amber=0.1, red=1.0)
"""5: expected events over the effective sample size of those that pseudo-experiments are drawn from. Its root is the
shift that all best fits share, in standard deviations: from a third on it shows in the coverage; from one on nothing is
drawn."""
STANDARD_ERROR: Final = Limits(amber=0.10, red=0.30)
"""6: median standard error of log r of the ensemble, spread / sqrt(members): 10 % of a density, at random from event
to event, adds 1 % to the variance of what an event tells, 30 % adds 9 %."""
ENSEMBLE_NOISE: Final = Limits(amber=0.2, red=0.5)
"""6: noise of the ensemble on the parameter of interest over its uncertainty; 0.2 adds 2 % to the total, 0.5 adds 12
%."""
ASIMOV: Final = Limits(amber=0.2, red=0.5, p_amber=_P_GREEN)
"""7: distance from what was put in, in uncertainties; a bias of 0.2 brings the coverage of 68.3 % down to 67.3 %, one
of 0.5 to 62.5 %. A distance that the finite simulation explains with p > 0.01
is amber at most: more simulation is needed before it says anything of the ratios."""
GRADIENT: Final = Limits(amber=1e-5, red=1e-3)
"""8: relative. Differences of fourth order are right to about 1e-8 here; minimisers notice errors above 1e-3."""
BINNED_GAP: Final = Limits(amber=0.10, red=0.25)
"""9: |uncertainty with 20 bins / unbinned - 1|. Twenty equal bins of a one-dimensional score keep about 97 % of its
information; what more is lost comes from nuisance parameters that the score does not see, rarely above a
quarter."""
INJECTION: Final = Limits(amber=0.2, red=0.5)
"""10: as for the Asimov closure."""
COVERAGE: Final = Limits(amber=0.02, red=0.05, p_green=_P_GREEN, p_amber=_P_AMBER)
"""11: |coverage - confidence level|; 2 % is what 500 pseudo-experiments resolve, 5 % misleads a reader."""
PARITY: Final = Limits(amber=1.0, red=10.0)
"""12: largest difference over the tolerance that the bundle states (1e-5 + 1e-5 |log r|, the rounding of float32)."""
NEGATIVE_INTENSITY: Final = Limits(amber=1e-9, red=0.01)
"""13: share of reference events at which the total intensity is not positive; any observed event makes the check
red."""
PAIR: Final = Limits(amber=0.02, red=float("inf"))
"""14: E[g_a g_b] / (E[g_a] E[g_b]) - 1. Above 2 % the product of the morphs is an assumption that only a sample with
both variations can test; without one the check is amber at most."""
DISTANCE_OF_DATA: Final = Limits(amber=3.0, red=5.0)
"""Observed minus expected best value in expected uncertainties: 3 is worth a look, 5 a discovery or a mistake."""
