"""A back end of spey, the interface of SModels, CheckMATE and MadAnalysis to likelihoods: ``evercast.likelihood``.

::

    import spey
    model = spey.get_backend("evercast.likelihood")("bundles/neural", analysis="h4l", xsection=0.05)
    model.exclusion_confidence_level(poi_test=1.0)
    model.poi_upper_limit()

``evercast.projection`` takes the binned projection of a bundle, a pyhf workspace, instead. Fits are those of evercast,
behind its fit guard, wherever spey lets a back end fit; a data set is one list of numbers, so that spey can hand it
around: counts of bins, weights of the simulated events of unbinned channels, global observables.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64
from spey import BackendBase, ExpectationType
from spey.base.model_config import ModelConfig

from evercast import __version__
from evercast.errors import InvalidInput
from evercast.inference.blinding import refuse_blind
from evercast.inference.fit import FitResult, fit, poi_of
from evercast.inference.profile import Profile
from evercast.interop.likelihood_object import OpenedLikelihood
from evercast.interop.opened import open_likelihood
from evercast.interop.spey_data import data_of, model_with_data, sampled
from evercast.likelihood.evaluate import Likelihood

__all__ = ["EvercastBackend", "ProjectionBackend"]

Point = Float64[np.ndarray, " parameters"]
PoiTest = float | Mapping[int | str, float]

_LOG = logging.getLogger(__name__)
_PROJECTION = "projection.json"
_PROJECTION_PARAMETERS = "projection_parametrisation.json"


class EvercastBackend(BackendBase):  # type: ignore[misc]  # spey has no types
    """Everything that `evercast.open_likelihood` opens, as a statistical model of spey.

    Args:
        likelihood: path or URL, or an opened likelihood.
        poi: parameter of interest; None takes the declared one.
        seed: of pseudo-experiments.
        options: handed on to `evercast.open_likelihood`, such as ``patch`` and ``patchset`` of a workspace.

    Raises:
        InvalidInput: ``fit.poi``, there is no such parameter of interest; what `evercast.open_likelihood` raises.
    """

    name: ClassVar[str] = "evercast.likelihood"
    version: ClassVar[str] = __version__
    author: ClassVar[str] = "evercast"
    spey_requires: ClassVar[str] = ">=0.2.6"
    doi: ClassVar[list[str]] = []
    arXiv: ClassVar[list[str]] = ["2412.01600", "1007.1727"]  # noqa: N815 - the name is that of spey

    def __init__(
        self,
        likelihood: str | os.PathLike[str] | OpenedLikelihood,
        *,
        poi: str | None = None,
        seed: int = 1,
        **options: Any,
    ) -> None:
        self.opened = self._open(likelihood, options)
        self._likelihood = self.opened.compiled
        self._poi = poi_of(self._likelihood, poi)
        self._random = np.random.default_rng(seed)
        self._sets: dict[tuple[str, float | None], Likelihood] = {}
        self._profiles: dict[tuple[str, float | None, bool], Profile] = {}
        self._warned: set[str] = set()

    @staticmethod
    def _open(likelihood: str | os.PathLike[str] | OpenedLikelihood, options: Mapping[str, Any]) -> OpenedLikelihood:
        return likelihood if isinstance(likelihood, OpenedLikelihood) else open_likelihood(likelihood, **options)

    @property
    def is_alive(self) -> bool:
        """Whether anything that is expected depends on the parameter of interest."""
        theta = self._likelihood.initial.copy()
        theta[self._index] = 0.0
        without = self._likelihood.expected_events(theta)
        theta[self._index] = 1.0
        with_signal = self._likelihood.expected_events(theta)
        return any(not np.allclose(without[name], with_signal[name], rtol=1e-12, atol=0.0) for name in without)

    @property
    def _index(self) -> int:
        return self._likelihood.index(self._poi)

    def config(self, allow_negative_signal: bool = True, poi_upper_bound: float = 10.0) -> ModelConfig:  # noqa: FBT001, FBT002 - spey's
        """Return names, initial values and bounds of the parameters.

        Args:
            allow_negative_signal: the parameter of interest may be negative, where the likelihood lets it.
            poi_upper_bound: its upper bound, where the likelihood states none; a stated one is never exceeded.
        """
        likelihood, index = self._likelihood, self._index
        low, high = float(likelihood.lower[index]), float(likelihood.upper[index])
        bounds = list(zip(likelihood.lower.tolist(), likelihood.upper.tolist(), strict=True))
        least = low if allow_negative_signal else max(low, 0.0)
        bounds[index] = (least, high if np.isfinite(high) else max(poi_upper_bound, least + 1.0))
        return ModelConfig(
            poi_index=index, minimum_poi=low, suggested_init=likelihood.initial.tolist(), suggested_bounds=bounds,
            parameter_names=list(likelihood.names), suggested_fixed=likelihood.fixed.tolist(),
        )  # fmt: skip

    def expected_data(self, pars: Sequence[float]) -> list[float]:
        """Return the Asimov data at some parameters as one list of numbers, global observables included."""
        theta = np.asarray(pars, dtype=float)
        return data_of(self._likelihood.model, self._asimov(self._likelihood, theta).model)

    def get_logpdf_func(
        self, expected: ExpectationType = ExpectationType.observed, data: Sequence[float] | None = None
    ) -> Callable[[Point], float]:
        """Return ln L as a function of the parameter vector; arguments as spey defines them."""
        likelihood = self._data(expected, data)
        return lambda pars: -0.5 * likelihood.twice_nll(np.asarray(pars, dtype=float))

    def get_objective_function(
        self,
        expected: ExpectationType = ExpectationType.observed,
        data: Sequence[float] | None = None,
        do_grad: bool = True,  # noqa: FBT001, FBT002 - spey's
    ) -> Callable[[Point], float | tuple[float, Point]]:
        """Return -ln L, with `do_grad` together with its gradient, as a function of the parameter vector."""
        likelihood = self._data(expected, data)

        def with_gradient(pars: Point) -> tuple[float, Point]:
            value, gradient = likelihood.value_and_gradient(np.asarray(pars, dtype=float))
            return 0.5 * value, 0.5 * gradient

        return with_gradient if do_grad else lambda pars: 0.5 * likelihood.twice_nll(np.asarray(pars, dtype=float))

    def get_hessian_logpdf_func(
        self, expected: ExpectationType = ExpectationType.observed, data: Sequence[float] | None = None
    ) -> Callable[[Point], Float64[np.ndarray, "parameters parameters"]]:
        """Return the matrix of second derivatives of ln L as a function of the parameter vector."""
        likelihood = self._data(expected, data)
        return lambda pars: -0.5 * likelihood.hessian(np.asarray(pars, dtype=float))

    def get_sampler(self, pars: Sequence[float]) -> Callable[[int], np.ndarray]:
        """Return a function that throws pseudo-experiments: (size, numbers), each row as `expected_data` gives it."""
        theta = np.asarray(pars, dtype=float)
        made = self._asimov(self._likelihood, theta).model
        return lambda size: sampled(self._likelihood.model, made, size, self._random)

    def combine(self, other: EvercastBackend, **options: Any) -> EvercastBackend:
        """Return the product of two likelihoods; `options` are those of `OpenedLikelihood.combine`."""
        return EvercastBackend(self.opened.combine(other.opened, **options))

    def negative_loglikelihood(
        self,
        poi_test: PoiTest = 1.0,
        expected: ExpectationType = ExpectationType.observed,
        data: Sequence[float] | None = None,
        return_parameters: bool = False,  # noqa: FBT001, FBT002 - spey's
        **options: Any,
    ) -> float | tuple[float, Point]:
        """Return -ln L at a value of the parameter of interest, all others fitted, behind the fit guard."""
        _leave_to_spey(options)
        found = self._conditional((str(expected), None), poi_test, self._data(expected, data), known=data is None)
        return (0.5 * found.twice_nll, found.theta) if return_parameters else 0.5 * found.twice_nll

    def asimov_negative_loglikelihood(
        self,
        poi_test: PoiTest = 1.0,
        expected: ExpectationType = ExpectationType.observed,
        test_statistics: str = "qtilde",
        return_parameters: bool = False,  # noqa: FBT001, FBT002 - spey's
        **options: Any,
    ) -> float | tuple[float, Point]:
        """Return -ln L of Asimov data: those without signal, or of signal strength 1 for ``q0``."""
        _leave_to_spey(options)
        key = (str(expected), 1.0 if test_statistics == "q0" else 0.0)
        found = self._conditional(key, poi_test, self._asimov_data(expected, key), known=True)
        return (0.5 * found.twice_nll, found.theta) if return_parameters else 0.5 * found.twice_nll

    def minimize_negative_loglikelihood(
        self,
        expected: ExpectationType = ExpectationType.observed,
        allow_negative_signal: bool = True,  # noqa: FBT001, FBT002 - spey's
        data: Sequence[float] | None = None,
        poi_indices: Sequence[int | str] | None = None,
        **options: Any,
    ) -> tuple[Any, float]:
        """Return the best-fit value of the parameter of interest and -ln L there."""
        _leave_to_spey(options)
        likelihood = self._data(expected, data)
        if data is None:
            best = self._profile((str(expected), None), likelihood, negative=allow_negative_signal).best
        else:
            best = fit(likelihood, bounds=self._bounds(negative=allow_negative_signal))
        self._note_outside(best.value(self._poi), fitted=True)
        return self._chosen(best, poi_indices), 0.5 * best.twice_nll

    def minimize_asimov_negative_loglikelihood(
        self,
        expected: ExpectationType = ExpectationType.observed,
        test_statistics: str = "qtilde",
        poi_indices: Sequence[int | str] | None = None,
        **options: Any,
    ) -> tuple[Any, float]:
        """Return the best-fit value and -ln L of Asimov data."""
        _leave_to_spey(options)
        key = (str(expected), 1.0 if test_statistics == "q0" else 0.0)
        likelihood = self._asimov_data(expected, key)
        best = self._profile(key, likelihood, negative=test_statistics in {"q", "qmu"}).best
        return self._chosen(best, poi_indices), 0.5 * best.twice_nll

    def _note_outside(self, value: float, *, fitted: bool = False) -> None:
        """Warn once where a value of the parameter of interest is tested, or fitted, where nothing was published.

        spey brackets a limit by values far above it, so that they are computed; a limit among them is no result.
        """
        low, high = float(self._likelihood.lower[self._index]), float(self._likelihood.upper[self._index])
        what = "the best fit lies at" if fitted else "values are tested outside of"
        if what in self._warned or not (value >= high if fitted else value > high or value < low):
            return
        self._warned.add(what)
        _LOG.warning(  # spey swallows Python's warnings
            "%s the published range [%g, %g] of %r, first %.6g: spey may look there for a limit, but one at the end "
            "of the range or beyond is an extrapolation, not a result",
            what, low, high, self._poi, value,
        )  # fmt: skip

    def _bounds(self, *, negative: bool) -> dict[str, tuple[float, float]]:
        return {self._poi: self.config(allow_negative_signal=negative).suggested_bounds[self._index]}

    def _chosen(self, found: FitResult, poi_indices: Sequence[int | str] | None) -> float | dict[int | str, float]:
        if poi_indices is None:
            return found.value(self._poi)
        names = {key: key if isinstance(key, str) else self._likelihood.names[key] for key in poi_indices}
        return {key: found.value(name) for key, name in names.items()}

    def _conditional(
        self, key: tuple[str, float | None], poi_test: PoiTest, likelihood: Likelihood, *, known: bool
    ) -> FitResult:
        """Return the fit with parameters held; one value of the parameter of interest starts from its neighbours."""
        if isinstance(poi_test, Mapping):
            held = {
                name if isinstance(name, str) else likelihood.names[name]: float(value)
                for name, value in poi_test.items()
            }
            self._note_outside(held.get(self._poi, float(likelihood.lower[self._index])))
            return fit(likelihood, fixed=held)
        self._note_outside(float(poi_test))
        if not known:
            return fit(likelihood, fixed={self._poi: float(poi_test)})
        return self._profile(key, likelihood, negative=False).conditional(float(poi_test))

    def _profile(self, key: tuple[str, float | None], likelihood: Likelihood, *, negative: bool) -> Profile:
        whole = (*key, negative)
        if whole not in self._profiles:
            self._profiles[whole] = Profile(likelihood, self._poi, bounds=self._bounds(negative=negative))
        return self._profiles[whole]

    def _data(self, expected: ExpectationType, data: Sequence[float] | None) -> Likelihood:
        """Return the likelihood of given data, or of those that spey's word stands for."""
        if data is not None:
            return Likelihood(model_with_data(self._likelihood.model, np.asarray(data, dtype=float)))
        if str(expected) != "apriori":
            if not self.opened.unblind:
                refuse_blind(self._likelihood.model)
            return self._likelihood
        key = ("apriori", None)
        if key not in self._sets:
            theta = self._likelihood.initial.copy()
            theta[self._index] = 0.0
            self._sets[key] = self._asimov(self._likelihood, theta)
        return self._sets[key]

    def _asimov_data(self, expected: ExpectationType, key: tuple[str, float | None]) -> Likelihood:
        """Return Asimov data at the fit of the data with the parameter of interest held at the second of the key."""
        if key not in self._sets:
            held = fit(self._data(expected, None), fixed={self._poi: key[1] or 0.0})
            self._sets[key] = self._asimov(self._likelihood, held.theta)
        return self._sets[key]

    @staticmethod
    def _asimov(likelihood: Likelihood, theta: Point) -> Likelihood:
        from evercast.inference.asimov import asimov_model  # noqa: PLC0415

        return Likelihood(asimov_model(likelihood, theta))


def _leave_to_spey(options: Mapping[str, Any]) -> None:
    """Let spey's own minimiser do what only it knows: starts and bounds that its caller gives.

    Raises:
        NotImplementedError: by which spey knows that it has to.
    """
    if options.get("init_pars") is not None or options.get("par_bounds") is not None:
        raise NotImplementedError("initial values and bounds are a matter of spey's minimiser")


class ProjectionBackend(EvercastBackend):
    """The binned projection of a bundle: what a reader of pyhf workspaces gets, through the same interface.

    Args:
        likelihood: folder, archive or URL of a bundle; other arguments as for `EvercastBackend`.

    Raises:
        InvalidInput: ``projection.missing``, the bundle holds none.
    """

    name: ClassVar[str] = "evercast.projection"

    @staticmethod
    def _open(likelihood: str | os.PathLike[str] | OpenedLikelihood, options: Mapping[str, Any]) -> OpenedLikelihood:
        bundle = likelihood if isinstance(likelihood, OpenedLikelihood) else open_likelihood(likelihood, **options)
        path = None if bundle.folder is None else bundle.folder / _PROJECTION
        if path is None or not path.is_file():
            message = f"{bundle.name!r} has no binned projection ({_PROJECTION})"
            raise InvalidInput(message, code="projection.missing")
        opened = open_likelihood(path, name=f"projection of {bundle.name}")
        parameters = Path(path).with_name(_PROJECTION_PARAMETERS)
        return opened.reparametrise(parameters) if parameters.is_file() else opened
