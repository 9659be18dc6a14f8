"""What a replay must give: declared numbers, and how close every class of numbers must come."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Expected", "NumericTolerance", "ResultTolerance", "RetrainingTolerance", "Tolerances"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A number that a replay must give; keys are ``likelihood.quantity``: ``binned.mu_hat``.

    At least one of `abs`, `rel` and `sigma` is given; to be within one of them is enough.

    Args:
        sigma: largest difference in units of `uncertainty`.
        uncertainty: the stated one, in the unit of `value`.
    """

    value: float
    abs: float | None = None
    rel: float | None = None
    sigma: float | None = field(default=None, metadata={"key": "unless default"})
    uncertainty: float | None = field(default=None, metadata={"key": "unless default"})

    def tolerance(self) -> float:
        """Return the largest difference that is allowed, in the unit of `value`.

        Example:
            >>> Expected(value=2.0, rel=0.01, sigma=0.1, uncertainty=0.5).tolerance()
            0.05
        """
        spread = None if self.sigma is None or self.uncertainty is None else self.sigma * self.uncertainty
        relative = None if self.rel is None else self.rel * abs(self.value)
        return max(part for part in (0.0, self.abs, relative, spread) if part is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericTolerance:
    """Rounding: a number is the same within `abs` + `rel` x |archived number|."""

    abs: float = 1e-5
    rel: float = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultTolerance:
    """Results with the archived networks.

    Args:
        sigma: in units of the stated uncertainty; of a significance, standard deviations.
        twice_nll: of -2 ln L.
        probability: of p-values and CLs.
    """

    sigma: float = 1e-3
    twice_nll: float = 2e-3
    probability: float = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainingTolerance:
    """Networks trained anew.

    Args:
        spread: of the ensemble mean of the log ratio of an event (root mean square over events), in units of the spread
            of the members / sqrt(members).
        sigma: of a result, in units of the stated uncertainty.
        noise: of the best value of the parameter of interest, in units of the bootstrap error of the difference of two
            ensembles.
    """

    spread: float = 3.0
    sigma: float = 0.1
    noise: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """What a replay calls the same, class by class; what is counted must be equal always."""

    numeric: NumericTolerance = field(default_factory=NumericTolerance)
    results: ResultTolerance = field(default_factory=ResultTolerance)
    retraining: RetrainingTolerance = field(default_factory=RetrainingTolerance)
