"""What follows networks trained anew is judged in units of what was stated with it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from evercast.publication.report.view import JsonView
from evercast.reinterpretation.later import later_rows
from evercast.reinterpretation.verdict import Verdict, worst

FIT = {"observed": {"fit": {"parameters": {"mu": {"value": 1.0, "uncertainty": 0.2}}}}}
STUDY: dict[str, Any] = {
    "likelihood": "neural", "poi": "mu", "toys": 500, "failed": 1, "reasons": ["a fit failed"], "status": "ok",
    "best": 1.0,
    "intervals": [{
        "confidence_level": 0.68, "segments": [[0.8, 1.2]], "open_low": False,
        "points": [{"value": 0.5, "critical": 1.0, "error": 0.1, "t": 4.0, "p": 0.05, "toys": 250}],
    }],
    "limit": {"observed": 1.5, "error": 0.01, "expected": [1.0, None]},
    "coverage": [{"value": 0.5, "asymptotic": 0.68, "error": 0.02, "toys": 400}],
}  # fmt: skip
TOYS: dict[str, Any] = {"likelihood": "neural", "value": 0.5, "count": 250, "failed": 0, "theta": {"mu": 0.5, "k": 1.0}}


def judged(stage: str, old: dict[str, Any], place: tuple[str | int, ...], value: object) -> Verdict:
    """The verdict where one entry was made anew as `value`."""
    new = copy.deepcopy(old)
    part: Any = new
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return worst(
        row.verdict for row in later_rows(stage, JsonView(old), JsonView(new), fit=JsonView(FIT), sigma=0.1)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("place", "near", "far"),
    [
        (("best",), 1.019, 1.021),
        (("intervals", 0, "segments", 0, 1), 1.219, 1.221),
        (("intervals", 0, "points", 0, "t"), 4.40, 4.42),
        (("intervals", 0, "points", 0, "critical"), 1.6, 1.7),
        (("intervals", 0, "points", 0, "p"), 0.18, 0.2),
        (("limit", "observed"), 1.56, 1.57),
        (("coverage", 0, "asymptotic"), 0.85, 0.87),
    ],
)
def test_numbers_of_a_study_may_move_by_what_was_stated(place: tuple[str | int, ...], near: float, far: float) -> None:
    assert judged("study", STUDY, place, near) == "statistical"
    assert judged("study", STUDY, place, far) == "differs"
    assert judged("study", STUDY, place, 1e9) == "differs"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("status",), "failed"),
        (("toys",), 499),
        (("intervals", 0, "open_low"), True),
        (("intervals", 0, "points", 0, "value"), 0.6),
        (("limit", "observed"), None),
        (("limit", "expected", 1), 2.0),
    ],
)
def test_counts_statuses_and_places_of_a_study_must_be_equal(place: tuple[str | int, ...], value: object) -> None:
    assert judged("study", STUDY, place, value) == "differs"


def test_failures_of_single_fits_are_left_out() -> None:
    assert judged("study", STUDY, ("failed",), 2) == "same-bits"
    assert judged("study", STUDY, ("reasons",), []) == "same-bits"


@pytest.mark.parametrize(
    ("place", "value", "verdict"),
    [
        (("theta", "mu"), 0.519, "statistical"),
        (("theta", "mu"), 0.521, "differs"),
        (("value",), 0.51, "differs"),
        (("count",), 249, "differs"),
    ],
)
def test_pseudo_experiments_are_drawn_at_the_same_place(
    place: tuple[str | int, ...], value: object, verdict: str
) -> None:
    assert judged("toys", TOYS, place, value) == verdict


def test_what_has_no_stated_uncertainty_is_shown_and_not_judged() -> None:
    rows = later_rows(
        "toys", JsonView({"theta": {"k": 1.0}}), JsonView({"theta": {"k": 2.0}}), fit=JsonView(FIT), sigma=0.1
    )
    assert [(row.verdict, row.rule) for row in rows] == [("not-compared", "shown only")]
