"""Asymptotic tests: discovery significance and CLs (arXiv:1007.1727; CLs: J. Phys. G 28 (2002) 2693)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import erfcx, ndtr

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asimov import asimov_model
from evercast.inference.fit import FitResult, fit, fit_steps, not_above_steps, poi_of
from evercast.inference.lockstep import Request, Steps, run
from evercast.inference.profile import Profile
from evercast.inference.regime import channels_of_few_events, low_counts, remarks_of
from evercast.likelihood.evaluate import Expansion, Likelihood

__all__ = ["BANDS", "ClsResult", "Significance", "cls", "cls_steps", "cls_values", "q_tilde", "significance"]

Point = Float[np.ndarray, " parameters"]

BANDS = (2.0, 1.0, 0.0, -1.0, -2.0)
"""Standard deviations of the background-only distribution, in the order of pyhf: strongest exclusion first."""
_TAIL = 2.0
"""Standard deviations up to which plain probabilities are divided; at 38 they vanish in float64."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Significance:
    """Test of mu = 0 against an excess.

    Args:
        q0: -2 ln of the profile likelihood ratio at 0, 0 for a deficit (equation 12).
        z: sqrt(q0), standard deviations (equation 53).
        p: one-sided probability of the background alone.
        poi_hat: best-fit value of the parameter of interest.
        fits: free and conditional.
        status: ``ok`` or ``at-bound``.
        remarks: why asymptotic formulas may not hold.
    """

    q0: float
    z: float
    p: float
    poi_hat: float
    fits: tuple[FitResult, FitResult]
    status: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClsResult:
    """CLs at one value of the parameter of interest, observed and for the quantiles of the background.

    Args:
        cls_obs: observed; None where only expected results were asked for.
        cls_exp: at -2, -1, 0, 1, 2 standard deviations, as in pyhf.
        q: observed test statistic q-tilde (equation 16).
        q_asimov: the same on background Asimov data.
        poi_hat: best fit within [0, ...); None as `cls_obs`.
        asimov: kind of the Asimov data.
        remarks: why asymptotic formulas may not hold.
        few_events: channels outside of the asymptotic regime -> why.
    """

    poi: str
    mu: float
    cls_obs: float | None
    cls_exp: tuple[float, ...]
    q: float | None
    q_asimov: float
    poi_hat: float | None
    asimov: str
    fits: tuple[FitResult, ...]
    status: str
    remarks: tuple[str, ...] = ()
    few_events: Mapping[str, str] = field(default_factory=dict)

    @property
    def background(self) -> FitResult | None:
        """The fit without signal; None where the data were left out."""
        return self.fits[2] if self.cls_obs is not None else None

    @property
    def conditional(self) -> FitResult | None:
        """The fit at the tested value; None where the data were left out."""
        return self.fits[1] if self.cls_obs is not None else None


def significance(likelihood: Likelihood, *, poi: str | None = None, profile: Profile | None = None) -> Significance:
    """Return the significance of the parameter of interest being above 0.

    Args:
        likelihood: with the data to be used.
        poi: parameter of interest; None takes the declared one, or that of `profile`.
        profile: fits already made.

    Raises:
        NumericalFailure: a fit failed.
        InvalidInput: there is no parameter of interest.
    """
    known = profile or Profile(likelihood, poi_of(likelihood, poi))
    conditional = known.conditional(0.0)
    best = _above_zero(likelihood, known)
    poi_hat = best.parameter(known.poi).value
    q0 = max(conditional.twice_nll - best.twice_nll, 0.0) if poi_hat > 0 else 0.0
    z = math.sqrt(q0)
    return Significance(
        q0=q0,
        z=z,
        p=float(ndtr(-z)),
        poi_hat=poi_hat,
        fits=(best, conditional),
        status=_status(best, conditional),
        remarks=low_counts(likelihood, conditional.theta),
    )


def _above_zero(likelihood: Likelihood, known: Profile) -> FitResult:
    """Return the best fit; of equally deep minima below and above 0 (a coefficient even in the parameter) the latter.

    The free fit of CLs, which is made in [0, upper bound], ends there too.
    """
    best, high = known.best, float(likelihood.upper[likelihood.index(known.poi)])
    if known.poi_hat >= 0 or known.poi not in likelihood.nonlinear or high <= 0:
        return best
    try:
        above = fit(likelihood, bounds={known.poi: (0.0, high)})
    except NumericalFailure:
        return best
    return above if above.twice_nll <= best.twice_nll + best.guard.tolerance else best


def _status(*fits: FitResult) -> str:
    return "at-bound" if any(entry.status == "at-bound" for entry in fits) else "ok"


def q_tilde(
    likelihood: Likelihood,
    mu: float,
    *,
    poi: str,
    start: Point | None = None,
    near: Point | None = None,
) -> tuple[float, FitResult, FitResult]:
    """Return q-tilde at `mu` (arXiv:1007.1727, equation 16) with the free and the conditional fit.

    The free fit is made with the parameter of interest in [0, upper bound].

    Args:
        likelihood: with the data to be used.
        mu: tested value.
        poi: parameter of interest.
        start: (parameters,) where both fits start, e.g. the fit without signal; the initial values where -2 ln L is
            not defined there, and where a coefficient is not linear and there may be several minima.
        near: (parameters,) where the conditional fit starts instead.

    Raises:
        NumericalFailure: a fit failed.
    """
    return run(_q_tilde_steps(likelihood, mu, poi=poi, start=start, near=near))


def _q_tilde_steps(
    likelihood: Likelihood,
    mu: float,
    *,
    poi: str,
    start: Point | None,
    near: Point | None,
    background: FitResult | None = None,
) -> Steps[tuple[float, FitResult, FitResult]]:
    """Return what `q_tilde` does; the fit without signal may be known, and is then where the free fit starts."""
    high = float(likelihood.upper[likelihood.index(poi)])
    bounds = {poi: (0.0, max(high, mu))}
    usable = yield from _usable(likelihood, (near, start), poi, (mu, mu))
    conditional = yield from fit_steps(likelihood, fixed={poi: mu}, start=usable.theta, known=usable.known)
    if background is not None and not likelihood.nonlinear:
        usable = _Start(background.theta.copy(), _expansion(likelihood, background))
    else:
        usable = yield from _usable(likelihood, (start,), poi, bounds[poi])
    first = usable.theta if usable.theta is not None else likelihood.initial.copy()
    first[likelihood.index(poi)] = np.clip(first[likelihood.index(poi)], *bounds[poi])
    free_start = None if poi in likelihood.nonlinear else first
    best = yield from fit_steps(likelihood, bounds=bounds, start=free_start, known=usable.known)
    best = yield from not_above_steps(likelihood, best, conditional, bounds=bounds)
    above = best.value(poi) > mu
    q = 0.0 if above else max(conditional.twice_nll - best.twice_nll, 0.0)
    return q, best, conditional


class _Start(NamedTuple):
    """Where a fit starts, with what is known there; None: the initial values, unknown."""

    theta: Point | None = None
    known: Expansion | None = None


def _expansion(likelihood: Likelihood, known: FitResult) -> Expansion:
    """Return the expansion of a likelihood where a fit of it ended."""

    def information() -> Float[np.ndarray, "parameters parameters"]:
        found = likelihood.expand(known.theta)
        return found.hessian if found.information is None else found.information()

    return Expansion(known.twice_nll, known.gradient, known.hessian, information)


def _usable(
    likelihood: Likelihood, starts: Sequence[Point | None], poi: str, limits: tuple[float, float]
) -> Steps[_Start]:
    """Return the first point where a fit may start: not where there may be several minima, or -2 ln L is undefined.

    The parameter of interest is moved into its limits, the others into their bounds.
    """
    index = likelihood.index(poi)
    for start in starts if not likelihood.nonlinear else ():
        if start is None:
            continue
        point = np.where(likelihood.fixed, start, np.clip(start, likelihood.lower, likelihood.upper))
        point[index] = np.clip(start[index], *limits)
        there = yield Request(likelihood, point)
        if math.isfinite(there.value):
            return _Start(point, there)
    return _Start()


def cls_values(
    q: float, q_asimov: float, *, statistic: Literal["q-tilde", "q"] = "q-tilde"
) -> tuple[float, tuple[float, ...]]:
    """Return CLs of an observed test statistic, and CLs at the quantiles of the background.

    Equations 65 to 68 for q-tilde, 57 and 59 for q: they differ where q is larger than on the Asimov data.

    The tails are divided before they are exponentiated, so that none vanishes: cls_values(2000, 400) is 0, not 0 / 0.

    Args:
        q: observed.
        q_asimov: on the background Asimov data, positive; its root is mu / sigma.
        statistic: ``q-tilde``, or ``q`` whose free fit may go below 0.

    Example:
        >>> observed, expected = cls_values(3.0, 3.0)
        >>> round(observed, 6) == round(expected[2], 6)
        True
    """
    root, separation = math.sqrt(q), math.sqrt(q_asimov)
    gaussian = statistic == "q" or root <= separation
    shift = root - separation if gaussian else (q - q_asimov) / (2.0 * separation)
    return _tail_ratio(shift, separation), tuple(_tail_ratio(band, separation) for band in BANDS)


def _tail_ratio(start: float, distance: float) -> float:
    """Return Phi(-(start + distance)) / Phi(-start) for a distance that is not negative.

    In the far tail by Phi(-x) = exp(-x^2 / 2) erfcx(x / sqrt(2)) / 2, whose exponentials divide exactly; log_ndtr would
    lose the digits of its size, 1e-16 x^2 / 2.
    """
    if start <= _TAIL:
        return float(ndtr(-(start + distance)) / ndtr(-start))
    scaled = erfcx((start + distance) / math.sqrt(2.0)) / erfcx(start / math.sqrt(2.0))
    return float(scaled * math.exp(-distance * (start + 0.5 * distance)))


def cls(
    likelihood: Likelihood,
    mu: float,
    *,
    poi: str | None = None,
    observed: bool = True,
    start: Point | None = None,
    near: Point | None = None,
) -> ClsResult:
    """Return CLs at `mu` with q-tilde and asymptotic distributions.

    Args:
        likelihood: observed data.
        mu: tested value, positive.
        poi: parameter of interest; None takes the declared one.
        observed: False leaves the data out: the Asimov data are then those of the initial values (blind).
        start: (parameters,) where the fit without signal starts, e.g. that of another signal on the same background.
        near: (parameters,) where the conditional fit may start, e.g. that of a similar signal.

    Raises:
        InvalidInput: `mu` is not positive, or nothing depends on the parameter of interest.
        NumericalFailure: a fit failed, or the result is not in [0, 1].
    """
    return run(cls_steps(likelihood, mu, poi=poi, observed=observed, start=start, near=near))


def cls_steps(
    likelihood: Likelihood,
    mu: float,
    *,
    poi: str | None = None,
    observed: bool = True,
    start: Point | None = None,
    near: Point | None = None,
) -> Steps[ClsResult]:
    """Return what `cls` does, asking for one expansion after the other."""
    name = poi_of(likelihood, poi)
    if not (math.isfinite(mu) and mu > 0):
        raise InvalidInput(f"the tested value must be positive and finite, found {mu}", code="cls.mu")
    theta = likelihood.initial.copy()
    fits: tuple[FitResult, ...] = ()
    theta[likelihood.index(name)] = 0.0
    shifted: Point | None = None
    q = poi_hat = None
    if observed:
        usable = yield from _usable(likelihood, (start,), name, (0.0, 0.0))
        background = yield from fit_steps(likelihood, fixed={name: 0.0}, start=usable.theta, known=usable.known)
        q, best, conditional = yield from _q_tilde_steps(
            likelihood, mu, poi=name, start=background.theta, near=near, background=background
        )
        shifted = conditional.theta
        theta, poi_hat, fits = background.theta, best.value(name), (best, conditional, background)
    expected = likelihood.expected_events(theta)
    model = asimov_model(likelihood, theta, expected=expected)
    q_asimov, *asimov_fits = yield from _q_tilde_steps(
        likelihood.with_data(model), mu, poi=name, start=theta, near=shifted
    )
    if q_asimov < 1e-8:
        message = f"nothing observable depends on '{name}': q on background Asimov data is {q_asimov:.3g}"
        raise InvalidInput(message, code="cls.no-sensitivity", hint="is the signal empty in every bin?")
    cls_obs, cls_exp = cls_values(q if q is not None else q_asimov, q_asimov)
    if not all(0.0 <= value <= 1.0 for value in (cls_obs, *cls_exp)):
        raise NumericalFailure(f"CLs is outside of [0, 1]: {cls_obs}, {cls_exp}", code="cls.range")
    few = channels_of_few_events(likelihood, expected, observed=observed)
    return ClsResult(
        poi=name, mu=mu, cls_obs=cls_obs if observed else None, cls_exp=cls_exp, q=q, q_asimov=q_asimov,
        poi_hat=poi_hat, asimov=model.asimov or "", fits=(*fits, *asimov_fits), status=_status(*fits, *asimov_fits),
        remarks=remarks_of(few), few_events=few,
    )  # fmt: skip


def guards_to_json(fits: tuple[FitResult, ...]) -> dict[str, object]:
    """Return what the guard found over several fits: the worst of each, and all parameters at a bound."""
    guards = [entry.guard for entry in fits]
    return {
        "passed": all(guard.reason is None for guard in guards),
        "fits": len(guards),
        "distance_to_minimum": max(guard.distance for guard in guards),
        "scaled_gradient": max(guard.scaled_gradient for guard in guards),
        "hessian_positive_definite": all(guard.positive_definite for guard in guards),
        "at_bound": sorted({name for guard in guards for name in guard.at_bound}),
        "at_kink": sorted({name for guard in guards for name in guard.at_kink}),
        "second_optimiser": next((guard.second_optimiser for guard in guards if guard.second_optimiser), None),
        "evaluations": sum(guard.n_evaluations for guard in guards),
    }
