"""Results of the units of a derived run, read into the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scipy.stats import chi2

from evercast.artifacts.files import read_json
from evercast.errors import IntegrityError
from evercast.reinterpretation.neural.answers import (
    Closure,
    Fitted,
    Injected,
    Limits,
    NeymanUpper,
    ObservableClosure,
    TrainingStatistics,
)

__all__ = ["closure_of", "fitted_of", "injected_of", "limits_of", "neyman_of", "read_body", "training_statistics_of"]

Body = Mapping[str, object]


def read_body(path: Path) -> Body:
    """Return the object in a JSON file.

    Raises:
        IntegrityError: it is missing, damaged, or no object.
    """
    body = read_json(path)
    if not isinstance(body, dict):
        raise IntegrityError("the file is no object", code="artifact.structure", where=str(path))
    return body


def _at(body: object, *keys: str) -> object:
    for key in keys:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body


def _number(body: object, *keys: str) -> float | None:
    value = _at(body, *keys)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _known(body: object, *keys: str) -> float:
    value = _number(body, *keys)
    if value is None:
        raise IntegrityError(f"a result has no {'.'.join(keys)}", code="artifact.structure")
    return value


def _entries(body: object, *keys: str) -> Sequence[object]:
    value = _at(body, *keys)
    return value if isinstance(value, list) else ()


def _texts(body: object, *keys: str) -> tuple[str, ...]:
    return tuple(str(entry) for entry in _entries(body, *keys))


def fitted_of(side: object, poi: str) -> Fitted | None:
    """Return the fit in one side of a result; None where there is none.

    Args:
        side: ``observed`` or ``expected`` of ``result.json``.
        poi: parameter of interest.
    """
    if not isinstance(side, Mapping):
        return None
    parameters = _at(side, "fit", "parameters")
    values = {
        str(name): (_known(entry, "value"), _number(entry, "uncertainty"))
        for name, entry in (parameters.items() if isinstance(parameters, Mapping) else ())
    }
    segments = [
        (float(entry[0]), float(entry[1]))
        for entry in _entries(side, "interval", "segments")
        if isinstance(entry, list) and len(entry) == 2
    ]
    value, uncertainty = values[poi]
    return Fitted(
        data=str(_at(side, "asimov") or "observed"), parameter=poi, status=str(_at(side, "status")), value=value,
        uncertainty=uncertainty, interval=tuple(segments),
        confidence_level=_number(side, "interval", "confidence_level"),
        significance=_number(side, "significance", "z"), parameters=values,
        problems=_texts(side, "guard", "problems"),
    )  # fmt: skip


def limits_of(side: object) -> Limits | None:
    """Return the upper limits in one side of a result; None where there are none."""
    found = _at(side, "limit")
    if not isinstance(found, Mapping):
        return None
    expected = tuple(float(str(value)) for value in _entries(found, "expected"))
    return Limits(
        confidence_level=_known(found, "confidence_level"), observed=_number(found, "observed"), expected=expected,
        remarks=_texts(found, "remarks"),
    )  # fmt: skip


def closure_of(body: Body, ensemble: str, process: str) -> Closure:
    """Return the checks of a learned ratio in ``diagnostics.json`` of an evaluation."""
    found = _at(body, "processes", process)
    observables = _at(found, "closure")
    entries = observables.items() if isinstance(observables, Mapping) else ()
    return Closure(
        ensemble=ensemble, mean=_known(found, "normalisation", "mean"), error=_known(found, "normalisation", "error"),
        auc=_number(found, "auc"), effective_reference=_number(found, "effective_sample_size", "reweighted_reference"),
        observables=tuple(_observable(str(name), entry) for name, entry in entries),
        saturated_networks=len(_entries(found, "saturated_networks")),
    )  # fmt: skip


def _observable(name: str, entry: object) -> ObservableClosure:
    bins, value = int(_known(entry, "bins")), _known(entry, "chi2")
    p_value = float(chi2.sf(value, bins - 1)) if bins > 1 else None  # two normalised shapes
    return ObservableClosure(name=name, chi2=value, bins=bins, p_value=p_value)


def injected_of(body: Body) -> tuple[Injected, ...]:
    """Return the values that were put in and recovered, from ``result.json`` of a study."""
    return tuple(
        Injected(
            value=_known(entry, "value"), toys=int(_known(entry, "toys")), failed=int(_known(entry, "failed")),
            mean=_known(entry, "mean"), error=_known(entry, "error"), spread=_known(entry, "spread"),
            median=_known(entry, "median"), at_bound=_known(entry, "at_bound"),
            coverage=tuple(
                (_known(level, "confidence_level"), _known(level, "share"), _known(level, "error"))
                for level in _entries(entry, "coverage")
            ),
        )
        for entry in _entries(body, "injection")
    )  # fmt: skip


def neyman_of(body: Body) -> NeymanUpper | None:
    """Return the interval of the Neyman construction in ``result.json`` of a study; None where it failed."""
    entry = next(iter(_entries(body, "intervals")), None)
    if entry is None:
        return None
    points = _entries(entry, "points")
    ends, others = (_ends(entry, key) for key in ("segments", "asymptotic_segments"))
    return NeymanUpper(
        confidence_level=_known(entry, "confidence_level"), low=ends[0], high=ends[1],
        open_low=_at(entry, "open_low") is True, open_high=_at(entry, "open_high") is True, asymptotic_high=others[1],
        values=tuple(_known(point, "value") for point in points),
        toys=int(max((_known(point, "toys") for point in points), default=0.0)),
        failed=int(sum(_known(point, "failed") for point in points)),
    )  # fmt: skip


def _ends(entry: object, key: str) -> tuple[float | None, float | None]:
    parts = [part for part in _entries(entry, key) if isinstance(part, list) and len(part) == 2]
    return (float(parts[0][0]), float(parts[-1][1])) if parts else (None, None)


def training_statistics_of(body: Body, covers: tuple[str, ...]) -> tuple[TrainingStatistics, ...]:
    """Return what the finite training samples add, by every estimator, on observed and on expected data."""
    return tuple(_estimates(body, covers))


def _estimates(body: Body, covers: tuple[str, ...]) -> Iterator[TrainingStatistics]:
    for kind in ("expected", "observed"):
        estimates = _at(body, kind, "estimates")
        for name, entry in estimates.items() if isinstance(estimates, Mapping) else ():
            reason = _at(entry, "reason")
            yield TrainingStatistics(
                estimator=str(name), label=str(_at(body, "estimators", str(name), "label")), data=kind,
                sigma=_number(entry, "sigma"), error=_number(entry, "error"),
                total_sigma=_number(entry, "total_sigma"), reason=None if reason is None else str(reason),
                covers=covers if name == "bootstrap" else (),
            )  # fmt: skip
