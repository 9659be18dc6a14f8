"""The domain of validity of a published bundle, ``validity.json``: which events its networks may be asked about.

An event is outside where an observable lies beyond the range of the reference sample, or where the event is far from
all events of that sample: its distance d_k to the k-th nearest of the published reference points, all observables
standardised, exceeds the threshold. The first finds wrong units and wild values, the second combinations that never
occurred although each value did. Of n events up to f n + 3 sqrt(f n) may be outside; more are refused. So is a single
event that lies farther beyond the range than the observable is wide. Where the bundle gives no points, which are
simulated events, the joint density is not known: then too many events beyond the outermost quantiles are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.spatial import cKDTree

from evercast.artifacts.files import read_json
from evercast.artifacts.weights import read_tensors
from evercast.errors import IntegrityError, InvalidInput
from evercast.spec.codec import from_json

__all__ = [
    "SUPPORT_FILE",
    "VALIDITY_FILE",
    "Domain",
    "EnsembleDomain",
    "Examined",
    "FalsePositive",
    "ObservableRange",
    "Outside",
    "ParameterRange",
    "Support",
    "Training",
    "examine",
    "neighbour_distance",
    "read_points",
    "read_validity",
]

VALIDITY_FILE: Final = "validity.json"
SUPPORT_FILE: Final = "support.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRange:
    """Range of a parameter; None where it is open, `learned` None where no density follows it."""

    low: float | None
    high: float | None
    learned: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How much of a simulated sample the networks learned from, and its share of the reference density."""

    events: int
    effective_events: float
    reference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservableRange:
    """An observable in the reference sample; `quantiles` are pairs (fraction below, value)."""

    name: str
    unit: str
    low: float
    high: float
    quantiles: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FalsePositive:
    """What the support test says of held-out events of the reference; `rate` None where there are none."""

    events: int
    outside: int
    rate: float | None
    uncertainty: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The test on the joint density: d_k of (x - center) / scale to the points must not exceed `threshold`.

    Args:
        points_are: what the points are, in words: whoever publishes them gives simulated events away.
    """

    method: Literal["nearest-neighbour"]
    file: str
    tensor: str
    points: int
    neighbour: int
    center: tuple[float, ...]
    scale: tuple[float, ...]
    threshold: float
    nominal_rate: float
    false_positive: FalsePositive
    formula: str
    points_are: str = "simulated training events"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleDomain:
    """Domain of the networks of one ensemble; without observables and support where they are not published.

    Where the points are kept back there are observables without a support: ranges and quantiles are all there is.
    """

    region: str
    cut: str
    training: Mapping[str, Training]
    observables: tuple[ObservableRange, ...]
    support: Support | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What is done with events outside."""

    action: Literal["refuse"]
    max_fraction_range: float
    max_fraction_support: float
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The content of ``validity.json``."""

    schema: Literal["validity/1.0.0"]
    experiment: str
    sqrt_s_tev: tuple[float, ...]
    luminosity_fb: float
    parameters: Mapping[str, ParameterRange]
    ensembles: Mapping[str, EnsembleDomain]
    outside: Outside


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examined:
    """How events lie with respect to the domain of an ensemble.

    Args:
        below, above: (events, observables), beyond the range of the reference.
        far: (events,), outside the support; all False where no support is published.
        wild: (events, observables), beyond the range by more than `widths`: one such event is too many.
        rare: (events, observables), beyond the outermost quantiles; all False where a support is published.
        names: observables, in order.
        limits: how many of the events may be outside the range, and outside the support or beyond the quantiles.
        ranges: (observables,) low, high and unit.
        widths: (observables,) between the outermost quantiles, or of the range where there are none.
    """

    below: Bool[np.ndarray, "events observables"]
    above: Bool[np.ndarray, "events observables"]
    far: Bool[np.ndarray, " events"]
    wild: Bool[np.ndarray, "events observables"]
    rare: Bool[np.ndarray, "events observables"]
    names: tuple[str, ...]
    limits: tuple[float, float]
    ranges: tuple[tuple[float, float, str], ...]
    widths: tuple[float, ...]

    @property
    def outside(self) -> Bool[np.ndarray, " events"]:
        """The events outside of range or support."""
        found: Bool[np.ndarray, " events"] = self.below.any(axis=1) | self.above.any(axis=1) | self.far
        return found

    @property
    def fractions(self) -> dict[str, float]:
        """Fraction of events beyond the range of each observable."""
        beyond = (self.below | self.above).mean(axis=0) if len(self.far) else np.zeros(len(self.names))
        return dict(zip(self.names, beyond.tolist(), strict=True))

    def problems(self) -> list[str]:
        """Return why the events must be refused, one sentence each; empty where they need not be."""
        beyond = self.below | self.above
        said = []
        if int(beyond.any(axis=1).sum()) > self.limits[0]:
            said += [f"{self._share(beyond[:, column])} {self._outside(column)}" for column in _most(beyond)]
        said += [
            f"{self._share(self.wild[:, column])} {self._outside(column)} by more than {self.widths[column]:.4g}"
            for column in _most(self.wild)
        ]
        if int(self.far.sum()) > self.limits[1]:
            names = ", ".join(self.names)
            said.append(f"{self._share(self.far)} are outside the support of the training in {names} together")
        for column in _most(self.rare):
            if int(self.rare[:, column].sum()) > self.limits[1]:
                name = self.names[column]
                said.append(
                    f"{self._share(self.rare[:, column])} have '{name}' beyond its outermost quantiles in the training"
                )
        return said

    def _share(self, found: Bool[np.ndarray, " events"]) -> str:
        return f"{100 * float(found.mean()):.3g} % of {len(found)} events"

    def _outside(self, column: int) -> str:
        low, high, unit = self.ranges[column]
        return f"have '{self.names[column]}' outside of [{low:.6g}, {high:.6g}] {unit}".rstrip()

    def to_json(self) -> dict[str, object]:
        """Return what a result says of it."""
        return {
            "events": len(self.far),
            "outside": int(self.outside.sum()),
            "outside_support": int(self.far.sum()),
            "outside_range": self.fractions,
            "far_beyond_range": int(self.wild.any(axis=1).sum()),
            "problems": self.problems(),
        }


def examine(
    domain: Domain,
    ensemble: str,
    points: Float[np.ndarray, "points observables"],
    events: Float[np.ndarray, "n inputs"],
) -> Examined:
    """Return how events lie with respect to the domain of an ensemble.

    Args:
        domain: of the bundle.
        ensemble: name of the ensemble.
        points: reference points, standardised (`read_points`).
        events: in the order and units of the manifest.

    Raises:
        InvalidInput: ``validity.not-published``: the networks, and so their domain, were not published.
    """
    found = domain.ensembles.get(ensemble)
    if found is None or not found.observables:
        raise InvalidInput(
            f"the bundle gives no domain for ensemble {ensemble!r}: its networks are not published",
            code="validity.not-published",
            where=VALIDITY_FILE,
        )
    support = found.support
    low, high = (np.array([getattr(one, side) for one in found.observables]) for side in ("low", "high"))
    outer = np.array([_outer(one) for one in found.observables])
    widths = _widths(outer, low, high)
    x = np.asarray(events, dtype=np.float64)
    if support is None:
        far, rare = np.zeros(len(x), dtype=bool), (x < outer[:, 0]) | (x > outer[:, 1])
    else:
        z = (x - np.array(support.center)) / np.array(support.scale)
        far, rare = neighbour_distance(points, z, support.neighbour) > support.threshold, np.zeros(x.shape, dtype=bool)
    shares = (domain.outside.max_fraction_range, domain.outside.max_fraction_support)
    return Examined(
        below=x < low,
        above=x > high,
        far=far,
        wild=(x < low - widths) | (x > high + widths),
        rare=rare,
        names=tuple(one.name for one in found.observables),
        limits=(_allowed(shares[0], len(x)), _allowed(shares[1], len(x))),
        ranges=tuple((one.low, one.high, "" if one.unit == "1" else one.unit) for one in found.observables),
        widths=tuple(widths.tolist()),
    )


def _outer(one: ObservableRange) -> tuple[float, float]:
    """Return the values of the outermost quantiles, the ends of the range where none are published."""
    values = [value for _, value in one.quantiles]
    return (values[0], values[-1]) if len(values) > 1 else (one.low, one.high)


def _widths(
    outer: Float64[np.ndarray, "observables two"], low: Float64[np.ndarray, " o"], high: Float64[np.ndarray, " o"]
) -> Float64[np.ndarray, " o"]:
    """Return how far beyond its range an observable may be: between its outer quantiles, else the width of the range.

    One that is constant in the training may differ by rounding.
    """
    between = outer[:, 1] - outer[:, 0]
    rounding = 1e-6 * np.maximum(np.abs(low), np.abs(high))
    found: Float64[np.ndarray, " o"] = np.maximum(np.where(between > 0.0, between, high - low), rounding)
    return found


def _most(found: Bool[np.ndarray, "events observables"]) -> list[int]:
    """Return the observables with such events, those with most first."""
    count = found.sum(axis=0)
    return [int(column) for column in np.argsort(-count, kind="stable") if count[column]]


def _allowed(share: float, events: int) -> float:
    return share * events + 3.0 * math.sqrt(share * events)


def neighbour_distance(
    points: Float[np.ndarray, "points observables"], events: Float[np.ndarray, "n observables"], neighbour: int
) -> Float64[np.ndarray, " n"]:
    """Return the Euclidean distance of each event to its k-th nearest point, both standardised.

    Args:
        points: reference points.
        events: to be examined.
        neighbour: k, from 1.
    """
    tree = cKDTree(np.asarray(points, dtype=np.float64))
    distance, _ = tree.query(np.asarray(events, dtype=np.float64), k=[neighbour])
    nearest: Float64[np.ndarray, " n"] = np.asarray(distance, dtype=np.float64).reshape(-1)
    return nearest


def read_validity(folder: Path) -> Domain:
    """Return the domain of a published bundle.

    Raises:
        InvalidInput: ``validity.missing``: there is none, or it is empty; ``validity.unknown-version``.
        IntegrityError: ``artifact.not-json`` or ``validity.damaged``.
    """
    path = folder / VALIDITY_FILE
    if not path.is_file() or path.stat().st_size == 0:
        raise InvalidInput(
            f"the bundle has no {VALIDITY_FILE}, or an empty one: nothing says which events it holds for",
            code="validity.missing",
            where=str(folder),
            hint="get the bundle again; to use it all the same, allow extrapolation explicitly: --allow-extrapolation",
        )
    body = read_json(path)
    schema = body.get("schema") if isinstance(body, Mapping) else None
    if schema != "validity/1.0.0":
        raise InvalidInput(
            f"{VALIDITY_FILE} is of schema {schema!r}; this version reads validity/1.0.0",
            code="validity.unknown-version",
            where=str(path),
            hint="a newer version of evercast may read it",
        )
    try:
        domain = from_json(Domain, body)
    except InvalidInput as err:
        raise IntegrityError(f"not a domain: {err.message}", code="validity.damaged", where=str(path)) from err
    for name, ensemble in domain.ensembles.items():
        _check(name, ensemble, where=path)
    return domain


def _check(name: str, ensemble: EnsembleDomain, *, where: Path) -> None:
    support, count = ensemble.support, len(ensemble.observables)
    ranges: Sequence[float] = [number for one in ensemble.observables for number in (one.low, one.high)]
    if support is not None:
        right = len(support.center) == len(support.scale) == count > 0
        ranges = [*ranges, *support.center, *support.scale, support.threshold]
        if not right or not all(math.isfinite(x) for x in ranges) or min(support.scale) <= 0 or support.neighbour < 1:
            raise IntegrityError(
                f"the support of ensemble {name!r} is not usable", code="validity.damaged", where=str(where)
            )


def read_points(folder: Path, domain: Domain) -> dict[str, Float[np.ndarray, "points observables"]]:
    """Return ensemble -> standardised reference points, for every ensemble that has a support.

    Raises:
        IntegrityError: ``tensors.missing``, ``tensors.damaged``, or ``validity.damaged``, the points are others.
    """
    supports = {name: one.support for name, one in domain.ensembles.items() if one.support is not None}
    if not supports:
        return {}
    tensors = read_tensors(folder / SUPPORT_FILE).arrays
    found: dict[str, Float[np.ndarray, "points observables"]] = {}
    for name, support in supports.items():
        points = tensors.get(support.tensor)
        shape = (support.points, len(support.center))
        usable = points is not None and points.shape == shape and points.dtype == np.float32
        if points is None or not usable or not np.isfinite(points).all() or support.neighbour > support.points:
            there = "nothing" if points is None else f"{points.dtype} {points.shape}"
            raise IntegrityError(
                f"the points of ensemble {name!r} are {there}; expected finite float32 {shape}",
                code="validity.damaged",
                where=str(folder / SUPPORT_FILE),
            )
        found[name] = points.astype(np.float32, copy=False)
    return found
