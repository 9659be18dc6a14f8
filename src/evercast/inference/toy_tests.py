"""CLs and discovery significance from pseudo-experiments instead of asymptotic distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asymptotics import q_tilde
from evercast.inference.fit import FitResult, fit, poi_of
from evercast.inference.profile import Profile
from evercast.inference.toy_statistics import ToySample, evaluate_toys
from evercast.inference.toys import Source, ToyGenerator, toy_seeds
from evercast.likelihood.evaluate import Likelihood

__all__ = ["ToyCls", "ToySignificance", "cls_from_toys", "combine_cls", "significance_from_toys"]

_QUANTILES = (0.02275013194817921, 0.15865525393145707, 0.5, 0.8413447460685429, 0.9772498680518208)
"""Probabilities of a unit Gaussian below -2, -1, 0, 1, 2."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ToyCls:
    """CLs at one value of the parameter of interest from pseudo-experiments of both hypotheses.

    Args:
        cls_obs: observed; None where only expected results were asked for.
        cls_obs_error: its statistical uncertainty; infinite relative to nothing where no background toy is as extreme.
        cls_exp: at the quantiles -2, -1, 0, 1, 2 of the background, as in pyhf.
        q: observed q-tilde.
        n_toys: of each hypothesis.
        n_failed: pseudo-experiments of both that could not be fitted; left out.
        sources: unbinned channel -> what its events were drawn from.
        remarks: unbinned channel -> what its few simulated events do; once for both hypotheses.
    """

    poi: str
    mu: float
    cls_obs: float | None
    cls_obs_error: float | None
    cls_exp: tuple[float, ...]
    q: float | None
    poi_hat: float | None
    n_toys: int
    n_failed: int
    seed: int
    fits: tuple[FitResult, ...]
    status: str
    sources: dict[str, str]
    remarks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ToySignificance:
    """Significance against the absence of the signal from pseudo-experiments without it.

    Args:
        q0: observed.
        p: fraction of pseudo-experiments with q0 at least as large; with none, an upper bound at 1 / n (`bound`).
        p_error: binomial uncertainty.
        z: standard deviations.
        bound: no pseudo-experiment was as extreme: `p` is an upper, `z` a lower bound.
        remarks: of channels with few simulated events.
    """

    q0: float
    p: float
    p_error: float
    z: float
    bound: bool
    n_toys: int
    n_failed: int
    seed: int
    remarks: tuple[str, ...] = ()


def cls_from_toys(
    likelihood: Likelihood,
    mu: float,
    *,
    n_toys: int,
    seed: int,
    poi: str | None = None,
    observed: bool = True,
    source: Source = "auto",
) -> ToyCls:
    """Return CLs with q-tilde; nuisance parameters are those of the conditional fits, global observables are thrown.

    Args:
        likelihood: observed data.
        mu: tested value, positive.
        n_toys: pseudo-experiments of each hypothesis.
        seed: of all of them.
        poi: parameter of interest; None takes the declared one.
        observed: False leaves the data out: nuisance parameters keep their initial values.
        source: what events of unbinned channels are drawn from.

    Raises:
        InvalidInput: `mu` is not positive, or too few pseudo-experiments.
        NumericalFailure: a fit of the data failed, or more than 2 % of the pseudo-experiments.
    """
    name = poi_of(likelihood, poi)
    if not (math.isfinite(mu) and mu > 0):
        raise InvalidInput(f"the tested value must be positive and finite, found {mu}", code="cls.mu")
    index = likelihood.index(name)
    with_signal, without = likelihood.initial.copy(), likelihood.initial.copy()
    with_signal[index], without[index] = mu, 0.0
    q = poi_hat = None
    fits: tuple[FitResult, ...] = ()
    if observed:
        q, best, conditional = q_tilde(likelihood, mu, poi=name)
        background = fit(likelihood, fixed={name: 0.0})
        with_signal, without, poi_hat = conditional.theta, background.theta, best.parameter(name).value
        fits = (best, conditional, background)
    samples = []
    remarks: dict[str, str] = {}
    for label, theta in (("signal", with_signal), ("background", without)):
        generator = ToyGenerator(likelihood, theta, source=source)
        remarks |= generator.remarks
        seeds = toy_seeds(seed, label, f"{mu:.17g}", first=0, count=n_toys)
        samples.append(evaluate_toys(generator, poi=name, value=mu, seeds=seeds, statistic="q-tilde"))
    cls_obs, error, cls_exp = combine_cls(samples[0], samples[1], q=q)
    return ToyCls(
        poi=name, mu=mu, cls_obs=cls_obs, cls_obs_error=error, cls_exp=cls_exp, q=q, poi_hat=poi_hat, n_toys=n_toys,
        n_failed=samples[0].n_failed + samples[1].n_failed, seed=seed, fits=fits, sources=generator.sources,
        status="at-bound" if any(entry.status == "at-bound" for entry in fits) else "ok", remarks=remarks,
    )  # fmt: skip


def combine_cls(
    signal: ToySample, background: ToySample, *, q: float | None
) -> tuple[float | None, float | None, tuple[float, ...]]:
    """Return observed CLs, its statistical uncertainty, and CLs at the quantiles of the background.

    Args:
        signal: pseudo-experiments of signal and background.
        background: of the background alone, the same test statistic.
        q: observed; None where only expected results are asked for.
    """
    with_signal, without = signal.values(), background.values()
    observed = error = None
    if q is not None:
        observed, error = _ratio(with_signal, without, q)
    quantiles = np.quantile(without, _QUANTILES[::-1])
    return observed, error, tuple(_ratio(with_signal, without, float(value))[0] for value in quantiles)


def _ratio(
    with_signal: Float[np.ndarray, " toys"], without: Float[np.ndarray, " toys"], q: float
) -> tuple[float, float]:
    """Return P(q' >= q | signal) / P(q' >= q | background) with its binomial uncertainty."""
    above, below = (int(np.sum(sample >= q - 1e-9)) for sample in (with_signal, without))
    if not below:
        message = f"none of {len(without)} pseudo-experiments of the background has a q of {q:.4g} or more"
        raise NumericalFailure(message, code="toys.too-few", hint="throw more pseudo-experiments")
    one, other = above / len(with_signal), below / len(without)
    variance = (1 - one) / max(above, 1) + (1 - other) / below
    return float(min(one / other, 1.0)), float(one / other * math.sqrt(variance)) if above else 1.0 / len(with_signal)


def significance_from_toys(
    likelihood: Likelihood,
    *,
    n_toys: int,
    seed: int,
    poi: str | None = None,
    profile: Profile | None = None,
    source: Source = "auto",
) -> ToySignificance:
    """Return the significance of the parameter of interest being above 0.

    Args:
        likelihood: observed data.
        n_toys: pseudo-experiments without signal, nuisance parameters as fitted without signal.
        seed: of all of them.
        poi: parameter of interest; None takes the declared one.
        profile: fits already made.
        source: what events of unbinned channels are drawn from.

    Raises:
        NumericalFailure: a fit of the data failed, or more than 2 % of the pseudo-experiments.
    """
    known = profile or Profile(likelihood, poi_of(likelihood, poi))
    conditional = known.conditional(0.0)
    q0 = max(conditional.twice_nll - known.best.twice_nll, 0.0) if known.poi_hat > 0 else 0.0
    generator = ToyGenerator(likelihood, conditional.theta, source=source)
    seeds: Sequence[int] = toy_seeds(seed, "discovery", first=0, count=n_toys)
    sample = evaluate_toys(generator, poi=known.poi, value=0.0, seeds=seeds, statistic="q0")
    values = sample.values()
    above = int(np.sum(values >= q0 - 1e-9))
    p = max(above, 1) / len(values)
    return ToySignificance(
        q0=q0, p=p, p_error=math.sqrt(p * (1 - p) / len(values)), z=float(-ndtri(p)) if p < 1 else 0.0,
        bound=above == 0, n_toys=n_toys, n_failed=sample.n_failed, seed=seed,
        remarks=tuple(generator.remarks.values()),
    )  # fmt: skip
