"""Studies with pseudo-experiments, as a document asks for them: true parameters, seeds, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evercast.errors import InvalidInput
from evercast.inference.asimov import asimov_model
from evercast.inference.blinding import blind_channels
from evercast.inference.fit import fit, poi_of
from evercast.inference.generated_events import Origins, generated_supports
from evercast.inference.goodness import goodness_toys
from evercast.inference.toy_statistics import Statistic, ToySample, evaluate_toys
from evercast.inference.toys import ToyGenerator, toy_seeds
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel
from evercast.spec.model import ToyStudy

__all__ = ["StudyData", "ToyBlock", "sample_of", "study_block", "study_data", "true_point"]

Point = Float[np.ndarray, " parameters"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyData:
    """The data a study is about.

    Args:
        likelihood: with the observed data, or Asimov data of the initial values where a channel is blind.
        blinded: names of the blind channels.
    """

    likelihood: Likelihood
    poi: str
    blinded: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ToyBlock:
    """Some pseudo-experiments.

    Args:
        arrays: name -> (toys,) or more. ``t``, ``poi_hat``, ``status``, ``seed`` (as in `ToySample`); for limits also
            ``background_t``... of those without signal; for goodness of fit ``statistic``, ``channel_0``...
        reasons: of failed fits.
        theta: true values.
        sources: unbinned channel -> what events were drawn from.
        effective_sample_size: unbinned channel -> of the events drawn from.
        expected: channel -> expected events.
        remarks: of channels with few simulated events for that (`ToyGenerator`).
        channels: for goodness of fit the names of ``channel_0``...
    """

    arrays: Mapping[str, np.ndarray]
    reasons: tuple[str, ...]
    theta: Mapping[str, float]
    sources: Mapping[str, str]
    effective_sample_size: Mapping[str, float]
    expected: Mapping[str, float]
    remarks: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


def study_data(model: LikelihoodModel, *, unblind: bool) -> StudyData:
    """Return the data of a study.

    Raises:
        InvalidInput: there is no parameter of interest; a channel is blind and there are no simulated events.
    """
    blind = () if unblind else blind_channels(model)
    likelihood = Likelihood(model)
    if blind:
        likelihood = Likelihood(asimov_model(likelihood, likelihood.initial))
    return StudyData(likelihood=likelihood, poi=poi_of(likelihood), blinded=blind)


def true_point(data: StudyData, spec: ToyStudy, value: float | None) -> Point:
    """Return the true values of all parameters: nuisance parameters profiled to the data, or nominal.

    Raises:
        NumericalFailure: the fit failed.
    """
    likelihood = data.likelihood
    if spec.nuisance == "profiled" and spec.purpose != "injection":
        return fit(likelihood, fixed={} if value is None else {data.poi: value}).theta
    theta = likelihood.initial.copy()
    if value is not None:
        theta[likelihood.index(data.poi)] = value
    return theta


def study_block(
    data: StudyData, spec: ToyStudy, *, study: str, name: str, value: float | None, first: int, count: int,
    origins: Origins | None = None,
) -> ToyBlock:  # fmt: skip
    """Throw and fit pseudo-experiments `first` to `first + count - 1` at one value; each follows from its number alone.

    Args:
        data: what they are about.
        spec: purpose, seed, nuisance parameters.
        study: name of the study.
        name: of the likelihood.
        value: true value of the parameter of interest; None for goodness of fit.
        first: number of the first pseudo-experiment.
        count: how many.
        origins: of the simulated events, for an injection.

    Raises:
        NumericalFailure: the fit of the data failed, or events cannot be drawn.
    """
    place = "" if value is None else f"{value:.17g}"

    def seeds(label: str) -> Sequence[int]:
        return toy_seeds(spec.seed, study, name, label, place, first=first, count=count)

    if value is None:
        return _goodness_block(data, seeds("goodness"))
    theta = true_point(data, spec, value)
    supports = generated_supports(data.likelihood, theta, origins or {}) if spec.purpose == "injection" else None
    generator = ToyGenerator(data.likelihood, theta, supports=supports)
    statistic: Statistic = "q-tilde" if spec.purpose == "limit" else "t"
    sample = evaluate_toys(generator, poi=data.poi, value=value, seeds=seeds("signal"), statistic=statistic)
    arrays, reasons = _arrays(sample, ""), sample.reasons
    if spec.purpose == "limit":
        without = ToyGenerator(data.likelihood, true_point(data, spec, 0.0))
        other = evaluate_toys(without, poi=data.poi, value=value, seeds=seeds("background"), statistic=statistic)
        arrays |= _arrays(other, "background_")
        reasons = tuple(dict.fromkeys((*reasons, *other.reasons)))
    return ToyBlock(
        arrays=arrays, reasons=reasons, theta=_named(data.likelihood, theta), sources=generator.sources,
        effective_sample_size=generator.effective_sample_size, expected=generator.expected,
        remarks=tuple(generator.remarks.values()),
    )  # fmt: skip


def _goodness_block(data: StudyData, seeds: Sequence[int]) -> ToyBlock:
    best = fit(data.likelihood)
    found = goodness_toys(data.likelihood, best, seeds=seeds)
    names = tuple(found.channels)
    arrays = {"statistic": found.statistic, "seed": np.array(seeds, dtype=np.int64)}
    arrays |= {f"channel_{number}": found.channels[name] for number, name in enumerate(names)}
    generator = ToyGenerator(data.likelihood, best.theta)
    return ToyBlock(
        arrays=arrays, reasons=(), theta=_named(data.likelihood, best.theta), sources=generator.sources,
        effective_sample_size=generator.effective_sample_size, expected=generator.expected,
        remarks=tuple(generator.remarks.values()), channels=names,
    )  # fmt: skip


def _named(likelihood: Likelihood, theta: Point) -> dict[str, float]:
    return dict(zip(likelihood.names, map(float, theta), strict=True))


def _arrays(sample: ToySample, prefix: str) -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": getattr(sample, name) for name in ("t", "poi_hat", "status", "seed")}


def sample_of(arrays: Mapping[str, np.ndarray], *, prefix: str = "", reasons: tuple[str, ...] = ()) -> ToySample:
    """Return pseudo-experiments from their arrays.

    Raises:
        InvalidInput: an array is missing.
    """
    names = ("t", "poi_hat", "status", "seed")
    missing = [f"{prefix}{name}" for name in names if f"{prefix}{name}" not in arrays]
    if missing:
        raise InvalidInput(f"pseudo-experiments lack the arrays {', '.join(missing)}", code="toys.arrays")
    t, poi_hat, status, seed = (np.asarray(arrays[f"{prefix}{name}"]) for name in names)
    return ToySample(t=t, poi_hat=poi_hat, status=status, seed=seed, reasons=reasons)
