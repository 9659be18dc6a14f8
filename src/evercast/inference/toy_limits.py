"""CLs upper limits from pseudo-experiments, at a few values of the parameter of interest around the limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evercast.errors import NumericalFailure
from evercast.inference.limits import UpperLimit, upper_limit
from evercast.inference.toy_tests import ToyCls, cls_from_toys
from evercast.inference.toys import Source
from evercast.likelihood.evaluate import Likelihood

__all__ = ["Crossing", "crossing", "limit_from_toys"]

_FACTORS = (0.7, 0.85, 1.0, 1.15, 1.35, 1.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Where CLs falls to the size of the test, from values with statistical uncertainties."""

    value: float
    error: float | None


def crossing(
    values: Float[np.ndarray, " points"],
    cls: Float[np.ndarray, " points"],
    errors: Float[np.ndarray, " points"] | None,
    *,
    size: float,
) -> Crossing | None:
    """Return the last crossing of `size`, interpolated linearly in ln CLs; None where the values do not hold it."""
    logs = np.log(np.maximum(cls, 1e-12) / size)
    places = np.flatnonzero((logs[:-1] >= 0) & (logs[1:] < 0))
    if not places.size:
        return None
    left = int(places[-1])
    slope = (logs[left + 1] - logs[left]) / (values[left + 1] - values[left])
    value = float(values[left] - logs[left] / slope)
    if errors is None:
        return Crossing(value=value, error=None)
    relative = math.hypot(*(errors[left : left + 2] / np.maximum(cls[left : left + 2], 1e-12))) / 2.0
    return Crossing(value=value, error=float(relative / abs(slope)))


def limit_from_toys(
    likelihood: Likelihood,
    *,
    n_toys: int,
    seed: int,
    poi: str | None = None,
    confidence_level: float = 0.95,
    observed: bool = True,
    source: Source = "auto",
) -> tuple[UpperLimit, tuple[ToyCls, ...]]:
    """Return the limits and CLs at each value tested; the values follow from the asymptotic limits.

    Args:
        likelihood: observed data.
        n_toys: pseudo-experiments of each hypothesis at each value.
        seed: of all of them.
        poi: parameter of interest; None takes the declared one.
        confidence_level: e.g. 0.95.
        observed: False leaves the data out.
        source: what events of unbinned channels are drawn from.

    Raises:
        NumericalFailure: a fit failed; ``limit.open``, no crossing among the values tested.
    """
    start = upper_limit(likelihood, poi=poi, confidence_level=confidence_level, observed=observed)
    anchors = [*start.expected, *([start.observed] if start.observed is not None else [])]
    values = _grid(min(anchors), max(anchors))
    tests = [
        cls_from_toys(likelihood, value, n_toys=n_toys, seed=seed, poi=start.poi, observed=observed, source=source)
        for value in values
    ]
    size = 1.0 - confidence_level
    points = np.array(values)
    expected = [
        _found(crossing(points, np.array([test.cls_exp[band] for test in tests]), None, size=size), start.poi)
        for band in range(5)
    ]
    seen = None
    if observed:
        cls = np.array([test.cls_obs for test in tests], dtype=float)
        errors = np.array([test.cls_obs_error for test in tests], dtype=float)
        seen = _found(crossing(points, cls, errors, size=size), start.poi)
    remarks = {name: remark for test in tests for name, remark in test.remarks.items()}
    limit = UpperLimit(
        poi=start.poi, confidence_level=confidence_level, observed=None if seen is None else seen.value,
        expected=tuple(entry.value for entry in expected), statistic="q-tilde", method="toys", asimov=start.asimov,
        fits=start.fits, status=start.status, remarks=tuple(remarks.values()),
        error=None if seen is None else seen.error,
    )  # fmt: skip
    return limit, tuple(tests)


def _grid(low: float, high: float) -> Sequence[float]:
    """Return tested values from below the lowest asymptotic limit to above the highest, evenly in the logarithm."""
    first, last = _FACTORS[0] * low, _FACTORS[-1] * high
    count = max(len(_FACTORS), math.ceil(math.log(last / first) / math.log(1.25)) + 1)
    return [float(value) for value in np.geomspace(first, last, count)]


def _found(entry: Crossing | None, poi: str) -> Crossing:
    if entry is None:
        message = f"CLs from pseudo-experiments does not cross among the tested values of {poi}"
        raise NumericalFailure(message, code="limit.open", hint="throw more pseudo-experiments")
    return entry
