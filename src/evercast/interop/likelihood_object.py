"""A likelihood as one object, whatever it was read from: a neural bundle, a workspace, a run, a combination."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from evercast.artifacts.bundle_open import schema_problems
from evercast.errors import InvalidInput
from evercast.inference.blinding import refuse_blind
from evercast.interop.evaluation import Evaluation, evaluate_events, event_set
from evercast.interop.parameter_values import by_name, finite
from evercast.interop.places import Opened
from evercast.interop.same_run import marks_of_run
from evercast.likelihood.combination import combine
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel, ParameterModel, UnbinnedChannelModel
from evercast.likelihood.reparametrise import Parametrisation, reparametrise
from evercast.spec.codec import from_json
from evercast.spec.report import did_you_mean

if TYPE_CHECKING:
    from evercast.inference.asymptotics import ClsResult, Significance
    from evercast.inference.fit import FitResult
    from evercast.inference.intervals import Interval
    from evercast.inference.limits import LimitStatistic, UpperLimit
    from evercast.inference.profile import Scan

__all__ = ["OpenedLikelihood", "ProfileResult"]

Point = Mapping[str, float]
"""Parameter -> value; parameters that are not named are at their initial values."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileResult:
    """The profile likelihood of one parameter.

    Args:
        best: the free fit.
        scan: t = -2 ln of the profile likelihood ratio at values of the parameter.
        interval: where t is below the quantile of the confidence level; it may have several parts.
    """

    best: FitResult
    scan: Scan
    interval: Interval


class OpenedLikelihood:
    """A likelihood with its data, ready for use; made by `open_likelihood`, never changed.

    Attributes:
        model: parameters, channels and data.
        manifest: of a neural bundle; empty for other likelihoods.
        folder: of a neural bundle; None for other likelihoods.
        unblind: data of blind channels may be looked at.

    Args:
        model: the likelihood.
        opened: what it was read from; None where it was made from others.
        unblind: data of blind channels may be looked at.
    """

    def __init__(self, model: LikelihoodModel, *, opened: Opened | None = None, unblind: bool = False) -> None:
        self.model = model
        self.manifest: Mapping[str, object] = {} if opened is None else opened.manifest
        self.folder: Path | None = None if opened is None or not opened.manifest else opened.path
        self._opened, self.unblind = opened, unblind

    def __repr__(self) -> str:
        poi = self.model.poi
        return (
            f"<likelihood {self.name!r}: {len(self.parameters)} parameters, channels "
            f"{', '.join(channel.name for channel in self.model.channels)}, "
            f"poi {None if poi is None else poi.name}, data {self.model.asimov or 'observed'}>"
        )

    @property
    def name(self) -> str:
        """Its name."""
        return self.model.name

    @property
    def title(self) -> str:
        """For people; its name where it has no title."""
        return str(self.manifest.get("title") or self.model.title or self.model.name)

    @property
    def parameters(self) -> Mapping[str, ParameterModel]:
        """Name -> initial value, bounds, constraint and unit, in the order of `gradient` and of parameter vectors."""
        return {parameter.name: parameter for parameter in self.model.parameters}

    @property
    def poi(self) -> str | None:
        """The declared parameter of interest."""
        return None if self.model.poi is None else self.model.poi.name

    @cached_property
    def compiled(self) -> Likelihood:
        """The likelihood as compiled functions of parameter vectors, for those who want them; blinding is not asked.

        Raises:
            InvalidInput: the model is not valid.
        """
        return Likelihood(self.model)

    @cached_property
    def _marks(self) -> frozenset[str]:
        """What likelihoods of the same run have in common."""
        return marks_of_run(self._opened)

    def _observed(self) -> Likelihood:
        """Return the compiled likelihood after a look at whether its data may be used."""
        if not self.unblind:
            refuse_blind(self.model)
        return self.compiled

    def _vector(self, parameters: Point | None) -> Float64[np.ndarray, " parameters"]:
        theta = self.compiled.initial.copy()
        for name, value in by_name(parameters).items():
            if name not in self.parameters:
                hint = did_you_mean(name, self.parameters) or f"parameters: {', '.join(list(self.parameters)[:20])}"
                raise InvalidInput(f"unknown parameter {name!r}", code="likelihood.unknown-parameter", hint=hint)
            theta[self.compiled.index(name)] = finite(name, value)
        return theta

    def twice_nll(self, parameters: Point | None = None) -> float:
        """Return -2 ln L, constants included; infinite where it is not defined.

        Args:
            parameters: name -> value, in the unit of the parameter; those not named are at their initial values.

        Raises:
            InvalidInput: ``likelihood.unknown-parameter``; ``likelihood.parameters``, a value is no finite number;
                ``likelihood.blind``.
        """
        return self._observed().twice_nll(self._vector(parameters))

    def gradient(self, parameters: Point | None = None) -> dict[str, float]:
        """Return parameter -> derivative of -2 ln L, exact; arguments and errors as `twice_nll`."""
        found = self._observed().gradient(self._vector(parameters))
        return dict(zip(self.parameters, found.tolist(), strict=True))

    def expected_events(self, parameters: Point | None = None) -> Mapping[str, Float64[np.ndarray, " n"]]:
        """Return channel -> expected events per bin, or per component of an unbinned channel.

        Raises:
            InvalidInput: ``likelihood.unknown-parameter``.
        """
        return self.compiled.expected_events(self._vector(parameters))

    def asimov(self, parameters: Point | None = None) -> OpenedLikelihood:
        """Return the likelihood with Asimov data: what is expected at `parameters`; it is not blind.

        Raises:
            InvalidInput: ``likelihood.unknown-parameter``; ``asimov.no-simulation``, an unbinned channel without
                simulated events.
            NumericalFailure: expected events or a total intensity are not positive.
        """
        from evercast.inference.asimov import asimov_model  # noqa: PLC0415 - inference is loaded where it is asked for

        return self._with(asimov_model(self.compiled, self._vector(parameters)))

    def fit(
        self,
        *,
        fixed: Point | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
    ) -> FitResult:
        """Return the best fit: values, uncertainties, covariance, and what the fit guard found.

        Args:
            fixed: parameter -> value at which it is held.
            bounds: parameter -> bounds instead of those of the model.

        Raises:
            InvalidInput: ``likelihood.unknown-parameter``; ``likelihood.blind``.
            NumericalFailure: no minimum was found that passes the guard.
        """
        from evercast.inference.fit import fit  # noqa: PLC0415

        self._vector({**dict.fromkeys(bounds or {}, 0.0), **(fixed or {})})
        return fit(self._observed(), fixed=fixed, bounds=bounds)

    def profile(
        self,
        poi: str | None = None,
        *,
        values: Sequence[float] | None = None,
        points: int = 21,
        confidence_level: float = 0.6827,
    ) -> ProfileResult:
        """Return the profile likelihood of a parameter with its interval.

        Args:
            poi: the parameter; None takes the declared one.
            values: where to scan; None: `points` of them within three standard deviations of the best fit.
            points: how many.
            confidence_level: of the interval.

        Raises:
            InvalidInput: ``fit.poi``; ``likelihood.blind``.
            NumericalFailure: the free fit failed, or every point of the scan.
        """
        from evercast.inference.fit import poi_of  # noqa: PLC0415
        from evercast.inference.profile import Profile, scan_range  # noqa: PLC0415

        likelihood = self._observed()
        profile = Profile(likelihood, poi_of(likelihood, poi))
        if values is None:
            values = np.linspace(*scan_range(profile, likelihood), points).tolist()
        scan = profile.scan(values)
        return ProfileResult(best=profile.best, scan=scan, interval=profile.interval(confidence_level, scan=scan))

    def limit(
        self,
        poi: str | None = None,
        *,
        confidence_level: float = 0.95,
        observed: bool = True,
        statistic: LimitStatistic = "q-tilde",
    ) -> UpperLimit:
        """Return CLs upper limits, asymptotic: observed, and for five quantiles of the background.

        Args:
            poi: the parameter; None takes the declared one.
            confidence_level: e.g. 0.95.
            observed: False leaves the data out, which is allowed where they are blind.
            statistic: ``q-tilde`` or ``q``.

        Raises:
            InvalidInput: ``fit.poi``; ``limit.level``; ``likelihood.blind``.
            NumericalFailure: a fit failed, or CLs does not fall to 1 - confidence level.
        """
        from evercast.inference.limits import upper_limit  # noqa: PLC0415

        likelihood = self._observed() if observed else self.compiled
        return upper_limit(
            likelihood, poi=poi, confidence_level=confidence_level, observed=observed, statistic=statistic
        )

    def cls(self, value: float, *, poi: str | None = None, observed: bool = True) -> ClsResult:
        """Return CLs of one value of a parameter, asymptotic, observed and expected; arguments as `limit`.

        Raises:
            InvalidInput: ``fit.poi``; ``cls.mu``; ``likelihood.blind``.
            NumericalFailure: a fit failed.
        """
        from evercast.inference.asymptotics import cls  # noqa: PLC0415

        return cls(self._observed() if observed else self.compiled, value, poi=poi, observed=observed)

    def significance(self, poi: str | None = None) -> Significance:
        """Return the significance of the parameter being above 0, asymptotic.

        Raises:
            InvalidInput: ``fit.poi``; ``likelihood.blind``.
            NumericalFailure: a fit failed.
        """
        from evercast.inference.asymptotics import significance  # noqa: PLC0415

        return significance(self._observed(), poi=poi)

    def evaluate(
        self,
        events: str | os.PathLike[str] | Mapping[str, ArrayLike],
        *,
        channel: str | None = None,
        units: Mapping[str, str] | None = None,
        allow_extrapolation: bool = False,
    ) -> Evaluation:
        """Return the log ratios of events of your own, after a check that they lie in the domain of validity.

        Args:
            events: a file (Parquet, CSV, ROOT, zarr folder), or name -> (events,) numbers such as a data frame; columns
                are found by name, in any order.
            channel: unbinned channel whose networks are asked; None where there is one.
            units: observable -> unit of the numbers; a wrong one, or one of no observable, is refused.
            allow_extrapolation: events outside of the domain are evaluated all the same; the result says so.

        Raises:
            InvalidInput: ``validity.outside`` with the fraction of events and the observables; ``events.*``;
                ``evaluate.not-published``, there are no networks; ``evaluate.channel``.
            IntegrityError: a file of the bundle is damaged.
        """
        if self.folder is None:
            message = f"{self.name!r} has no networks: only a neural bundle can evaluate events"
            raise InvalidInput(message, code="evaluate.not-published")
        found = Path(events) if isinstance(events, str | os.PathLike) else events
        return evaluate_events(
            self.folder, self.manifest, found, channel=channel, units=units, allow_extrapolation=allow_extrapolation
        )

    def with_events(self, evaluation: Evaluation, *, weight: ArrayLike | None = None) -> OpenedLikelihood:
        """Return the likelihood whose data in one channel are your own events.

        Args:
            evaluation: of these events, by `evaluate`.
            weight: (events,) of each event; None counts each once.

        Raises:
            InvalidInput: ``evaluate.channel``, ``evaluate.process``; ``events.columns``, weights of another length.
        """
        channel = next((one for one in self.model.channels if one.name == evaluation.channel), None)
        if not isinstance(channel, UnbinnedChannelModel):
            raise InvalidInput(f"there is no unbinned channel {evaluation.channel!r}", code="evaluate.channel")
        weights = np.ones(len(evaluation)) if weight is None else np.asarray(weight, dtype=float)
        if weights.shape != (len(evaluation),):
            message = f"{len(evaluation)} events have weights of shape {weights.shape}"
            raise InvalidInput(message, code="events.columns")
        changed = replace(channel, events=event_set(channel, evaluation, weights), blind=False)
        others = (changed if one is channel else one for one in self.model.channels)
        return self._with(replace(self.model, channels=tuple(others)))

    def reparametrise(self, document: Mapping[str, object] | str | os.PathLike[str]) -> OpenedLikelihood:
        """Return the likelihood with other parameters and coefficients, the same densities.

        Args:
            document: a file of schema ``parametrisation``, or its content:
                ``{"parameters": {"kappa": {"initial": 1.0, "poi": True}}, "coefficients": {"signal": "kappa**2"}}``.

        Raises:
            InvalidInput: the document is not valid; ``reparametrise.*``.
        """
        if isinstance(document, Mapping):
            body = {"schema": "parametrisation/1.0.0", "parameters": {}, "coefficients": {}, **document}
            problems = schema_problems("parametrisation", body)
            if problems:
                raise InvalidInput("; ".join(problems[:10]), code="reparametrise.document")
            parametrisation = from_json(Parametrisation, {key: body[key] for key in ("parameters", "coefficients")})
        else:
            from evercast.spec.documents import load_document  # noqa: PLC0415

            parametrisation = load_document(Path(document), "parametrisation", Parametrisation)
        return self._with(reparametrise(self.model, parametrisation))

    def combine(
        self,
        other: OpenedLikelihood,
        *,
        rename: Mapping[str, Mapping[str, str]] | None = None,
        uncorrelate: Sequence[str] = (),
        poi: str | None = None,
        name: str = "combination",
        same_run: bool = False,
    ) -> OpenedLikelihood:
        """Return the product of two likelihoods; parameters of one name are one parameter.

        Args:
            other: likelihood on other data.
            rename: name of a likelihood -> old name of a parameter -> its name in the combination.
            uncorrelate: parameters that stay apart: each becomes LIKELIHOOD_PARAMETER.
            poi: parameter of interest; None takes that of the parts, which must agree.
            name: of the combination.
            same_run: both may be of one run, for their data are not the same events.

        Raises:
            InvalidInput: ``combination.twice``, both are called the same; ``combination.same-run``, both are of one
                run, as its neural and its binned likelihood are; ``combination.*``: definitions of a shared parameter
                differ, and others.
        """
        if other.name == self.name:
            message = f"both likelihoods are called {self.name!r}: are they the same data?"
            raise InvalidInput(message, code="combination.twice", hint="open_likelihood(..., name=...) renames one")
        if self._marks & other._marks and not same_run:
            message = f"{self.name!r} and {other.name!r} are of one run: events in both would count twice"
            hint = "combine one of them with other data; same_run=True where no event is in both"
            raise InvalidInput(message, code="combination.same-run", hint=hint)
        parts = {self.name: self.model, other.name: other.model}
        made = combine(parts, rename=rename, uncorrelate=uncorrelate, poi=poi, name=name)
        both = OpenedLikelihood(made, unblind=self.unblind and other.unblind)
        both._marks = self._marks | other._marks
        return both

    def _with(self, model: LikelihoodModel) -> OpenedLikelihood:
        return OpenedLikelihood(model, opened=self._opened, unblind=self.unblind)
