"""The results of all points of a request, and what follows from them: who is excluded, where, and by how much."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evercast.reinterpretation.requests.consistency import Compared, Found, compare_published
from evercast.reinterpretation.requests.exclusion import (
    Curves,
    Plane,
    excluded_ranges,
    log_ratios,
    plane_of,
)
from evercast.reinterpretation.requests.frozen import FrozenPoint, FrozenRequest
from evercast.reinterpretation.requests.points import read_result

__all__ = ["Answer", "Answers", "Range", "efficiency_limit", "gather"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """The result of one point.

    Args:
        point: as it was submitted.
        body: of its result file.
        status: ``ok``, ``at-bound``, ``no-events`` or ``failed``.
        cls_observed: None where the data were left out, or there is no number.
        cls_expected: for five quantiles of the background; empty where there is no number.
        limit_observed, limit_expected: likewise, on the signal strength.
        excluded: at the confidence level, by the observed CLs (by the expected median where the data were left out);
            None where there is no number.
    """

    point: FrozenPoint
    body: Mapping[str, object]
    status: str
    cls_observed: float | None
    cls_expected: tuple[float, ...]
    limit_observed: float | None
    limit_expected: tuple[float, ...]
    excluded: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What is excluded along the first axis that varies, at fixed values of the others."""

    at: tuple[float, ...]
    observed: tuple[tuple[float, float], ...]
    expected: tuple[tuple[float, float], ...]
    covered: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """All results of a request.

    Args:
        answers: in the order of the request.
        ranges: along the first axis.
        plane: of the points; None where they have none.
        compared: with what was published.
    """

    answers: tuple[Answer, ...]
    ranges: tuple[Range, ...]
    plane: Plane | None
    compared: tuple[Compared, ...]

    def count(self, *, excluded: bool) -> int:
        """Return how many points are excluded, or are not."""
        return sum(answer.excluded is excluded for answer in self.answers)

    def having(self, status: str) -> tuple[Answer, ...]:
        """Return the answers of a status."""
        return tuple(answer for answer in self.answers if answer.status == status)


def efficiency_limit(generated: int | None, confidence_level: float) -> float | None:
    """Return the upper limit on the efficiency where none of the simulated events was selected (binomial, exact).

    Example:
        >>> round(efficiency_limit(10000, 0.95), 7)
        0.0002995
    """
    return None if generated is None else 1.0 - (1.0 - confidence_level) ** (1.0 / generated)


def gather(frozen: FrozenRequest) -> Answers:
    """Return the results of a request all of whose points are computed.

    Raises:
        IntegrityError: ``request.result``.
    """
    size = 1.0 - frozen.wanted.confidence_level
    answers = tuple(_answer(frozen, point, size) for point in frozen.points)
    curves: dict[tuple[float, ...], Curves] = {
        answer.point.values: log_ratios(answer.cls_observed, answer.cls_expected, size)
        for answer in answers
        if answer.point.values and answer.cls_expected
    }
    ranges = tuple(_ranges(curves))
    compared: tuple[Compared, ...] = ()
    if frozen.wanted.mu == 1.0:
        compared = compare_published(
            frozen.analysis, frozen.likelihood,
            {answer.point.name: _found(answer) for answer in answers if answer.point.origin == "published"},
            _ends_of_record(frozen, answers, size), confidence_level=frozen.wanted.confidence_level,
        )  # fmt: skip
    return Answers(answers=answers, ranges=ranges, plane=plane_of(curves), compared=compared)


def _ends_of_record(
    frozen: FrozenRequest, answers: Sequence[Answer], size: float
) -> Mapping[tuple[float, ...], tuple[float | None, float | None]]:
    """Return the observed ends of the longest excluded range on lines with three or more points of the record alone.

    An end at the first or last point asked for says only how far was asked: it is None. So is one that lies in a gap
    where the record has points that were not asked for, since another point there would move it.
    """
    record = sorted(point.values for point in frozen.analysis.points.values() if point.values)
    curves = {
        answer.point.values: log_ratios(answer.cls_observed, answer.cls_expected, size)
        for answer in answers
        if answer.point.origin == "published" and answer.point.values and answer.cls_expected
    }
    ends: dict[tuple[float, ...], tuple[float | None, float | None]] = {}
    for entry in _ranges(curves):
        on_line = [values[0] for values in record if values[1:] == entry.at]
        asked = sorted(values[0] for values in curves if values[1:] == entry.at)
        if not entry.observed or len(asked) < 3:
            continue
        longest = max(entry.observed, key=lambda ends: ends[1] - ends[0])
        low, high = (end if _is_between_neighbours(end, asked, on_line) else None for end in longest)
        ends[entry.at] = (low, high)
    return ends


def _is_between_neighbours(end: float, asked: Sequence[float], record: Sequence[float]) -> bool:
    """Return whether an end lies between two points asked for with none of the record between them."""
    below, above = [value for value in asked if value < end], [value for value in asked if value > end]
    return bool(below and above) and not any(below[-1] < value < above[0] for value in record if value not in asked)


def _answer(frozen: FrozenRequest, point: FrozenPoint, size: float) -> Answer:
    body = read_result(frozen, point)
    tested, limit = body.get("cls"), body.get("limit")
    cls_observed = _number(tested, "observed")
    cls_expected = _numbers(tested, "expected")
    decisive = cls_observed if cls_observed is not None else (cls_expected[2] if cls_expected else None)
    return Answer(
        point=point, body=body, status=str(body["status"]), cls_observed=cls_observed, cls_expected=cls_expected,
        limit_observed=_number(limit, "observed"), limit_expected=_numbers(limit, "expected"),
        excluded=None if decisive is None else decisive < size,
    )  # fmt: skip


def _number(body: object, key: str) -> float | None:
    value = body.get(key) if isinstance(body, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _numbers(body: object, key: str) -> tuple[float, ...]:
    value = body.get(key) if isinstance(body, Mapping) else None
    return tuple(float(part) for part in value) if isinstance(value, list) else ()


def _found(answer: Answer) -> Found:
    return Found(
        cls_observed=answer.cls_observed, limit_observed=answer.limit_observed, events=answer.point.events,
        limit_expected=answer.limit_expected[2] if answer.limit_expected else None,
    )  # fmt: skip


def _ranges(curves: Mapping[tuple[float, ...], Curves]) -> Sequence[Range]:
    """Return the excluded ranges along the first axis for every set of other values with at least two points."""
    found = []
    ordered = sorted(curves.items(), key=lambda item: (item[0][1:], item[0][0]))
    for at, group in itertools.groupby(ordered, key=lambda item: item[0][1:]):
        entries = list(group)
        if len(entries) < 2:
            continue
        values = [key[0] for key, _ in entries]
        observed, expected = [curve[0] for _, curve in entries], [curve[3] for _, curve in entries]
        known = all(value == value for value in observed)  # noqa: PLR0124 - NaN where the data were left out
        found.append(
            Range(
                at=at, observed=tuple(excluded_ranges(values, observed)) if known else (),
                expected=tuple(excluded_ranges(values, expected)), covered=(values[0], values[-1]),
            )
        )  # fmt: skip
    return found
