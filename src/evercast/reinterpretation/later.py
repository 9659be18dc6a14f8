"""What follows networks that were trained anew, beside the fits: training statistics, pseudo-experiments, diagnostics.

Texts, counts and statuses must be the archived ones. Values of parameters may move by ``retraining.sigma`` of their
stated uncertainty; test statistics and probabilities by what such a move does to them, and by three errors of the
difference where pseudo-experiments are behind them. What has no such scale is shown and not judged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from evercast.publication.report.view import JsonView
from evercast.publication.results import quantity_of
from evercast.reinterpretation.numbers import Leaf, leaves
from evercast.reinterpretation.results import ResultRow
from evercast.reinterpretation.verdict import Verdict

__all__ = ["LATER_FILES", "later_rows"]

LATER_FILES: Final[Mapping[str, str]] = {
    "training_statistics": "result.json", "toys": "summary.json", "study": "result.json",
    "diagnostics": "diagnostics.json",
}  # fmt: skip
"""Stage -> the file that is judged."""

_DIFFERENCE: Final = 3.0 * math.sqrt(2.0)
_DENSITY: Final = math.sqrt(2.0 / math.pi)
"""Of a two-sided probability per standard deviation, at most."""
_FREE: Final = re.compile(
    r"\.(failed|failures|reasons|reason|error|weights|values|draws|simulation|remarks|effective_sample_size|expected_events|sources)(\b|\[)"
)
"""What is random, follows the simulation or says in words what stands there as a number."""

_Rule = Callable[[str, float], tuple[float, str] | None]


def later_rows(stage: str, old: JsonView, new: JsonView, *, fit: JsonView, sigma: float) -> tuple[ResultRow, ...]:
    """Return everything that is judged of a unit after networks that were trained anew.

    Args:
        stage: one of `LATER_FILES`.
        old: its file, archived.
        new: its file, made anew.
        fit: archived result of the same likelihood, whose uncertainties are the scale; empty where there is none.
        sigma: how far a parameter may move, in its uncertainties.
    """
    if stage == "diagnostics":
        return tuple(_statuses(old, new))
    rules: Mapping[str, _Rule] = {
        "training_statistics": lambda path, _: _of_statistics(path, old, sigma),
        "toys": lambda path, _: _of_toys(path, fit, sigma),
        "study": lambda path, value: _of_study(path, value, old, fit, sigma),
    }
    before, after = dict(leaves(old.value)), dict(leaves(new.value))
    return tuple(_rows(before, after, rules[stage]))


def _statuses(old: JsonView, new: JsonView) -> Iterator[ResultRow]:
    """Yield the status of every diagnostic, and whether publication is allowed."""
    before, after = _checks(old), _checks(new)
    for name in {**before, **after}:
        yield _equal(name, before.get(name), after.get(name))
    yield _equal("publication.allowed", *(str(view.flag("publication", "allowed")) for view in (old, new)))


def _checks(body: JsonView) -> dict[str, str]:
    return {entry.text("id") or "": entry.text("status") or "none" for entry in body.entries("checks")}


def _rows(before: Mapping[str, Leaf], after: Mapping[str, Leaf], rule: _Rule) -> Iterator[ResultRow]:
    for path in {**before, **after}:
        if not path.startswith("$.theta.") and _FREE.search(path):
            continue
        first, second = before.get(path), after.get(path)
        if isinstance(first, float) and isinstance(second, int | float):
            yield _number(path, first, float(second), rule(path, first))
        else:
            yield _equal(path, *(str(side[path]) if path in side else None for side in (before, after)))


def _equal(name: str, old: str | None, new: str | None) -> ResultRow:
    verdict: Verdict = "same-bits" if old == new else "differs"
    return ResultRow(
        quantity=name, old=old, new=new, sigma=None, tolerance=None, rule="equal", main=False, verdict=verdict
    )


def _number(name: str, old: float, new: float, allowed: tuple[float, str] | None) -> ResultRow:
    verdict: Verdict = "same-bits"
    if old != new and allowed is None:
        verdict = "not-compared"
    elif old != new and allowed is not None:
        verdict = "statistical" if abs(new - old) <= allowed[0] else "differs"
    tolerance, rule = allowed or (None, "shown only")
    return ResultRow(
        quantity=name, old=old, new=new, sigma=None, tolerance=tolerance, rule=rule, main=False, verdict=verdict
    )


def _of_statistics(path: str, old: JsonView, sigma: float) -> tuple[float, str] | None:
    """Values of the parameter of interest and their uncertainties, in units of the stated one."""
    stated = old.number(path.split(".")[1], "sigma")
    return None if stated is None else (sigma * stated, f"{sigma:g} sigma")


def _of_toys(path: str, fit: JsonView, sigma: float) -> tuple[float, str] | None:
    if not path.startswith("$.theta."):
        return 0.0, "equal"
    stated = quantity_of(fit, f"{path.removeprefix('$.theta.')}_uncertainty")
    return None if stated is None else (sigma * stated, f"{sigma:g} sigma")


def _of_study(path: str, value: float, old: JsonView, fit: JsonView, sigma: float) -> tuple[float, str] | None:
    keys = _keys(path)
    names = [key for key in keys if isinstance(key, str)]
    last, entry = names[-1], old.at(*keys[: keys.index(names[-1])])
    if last in ("best", "segments", "asymptotic_segments", "observed", "expected") and "goodness_of_fit" not in names:
        stated = quantity_of(fit, f"{old.text('poi')}_uncertainty")
        error = (entry.number("error") or 0.0) if last == "observed" else 0.0
        return None if stated is None else (sigma * stated + _DIFFERENCE * error, f"{sigma:g} sigma")
    if last in ("p", "cls_obs", "cls_exp", "neyman") or (last == "asymptotic" and "coverage" in names):
        toys = entry.number("toys") or 0.0
        error = entry.number(f"{last}_error") or (math.sqrt(max(value * (1.0 - value), 0.0) / toys) if toys else 0.0)
        error = max(error, 1.0 / toys if toys else 0.0)
        return _DENSITY * sigma + _DIFFERENCE * error, f"a move of {sigma:g} sigma and 3 errors of the difference"
    if last in ("t", "critical", "asymptotic"):
        error = (entry.number("error") or 0.0) if last == "critical" else 0.0
        moved = 2.0 * sigma * math.sqrt(max(value, 0.0)) + sigma**2
        return moved + _DIFFERENCE * error, f"a move of {sigma:g} sigma and 3 errors of the difference"
    if last in ("value", "confidence_level"):
        return 0.0, "equal"
    return None


def _keys(path: str) -> list[str | int]:
    """Return a JSON path of `leaves` as keys and indices."""
    return [int(index) if index else key for key, index in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path)]
