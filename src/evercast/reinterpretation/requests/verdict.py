"""The answer in one sentence."""

from __future__ import annotations

from typing import Final

from evercast.reinterpretation.requests.answers import Answer, Answers, efficiency_limit
from evercast.reinterpretation.requests.frozen import FrozenRequest

__all__ = ["verdict_sentence"]

_NAMED: Final = 4
"""Excluded points that are named in the sentence."""


def verdict_sentence(frozen: FrozenRequest, answers: Answers) -> str:
    """Return what was found, in one sentence that says by which data, at which level, and what has no number."""
    level = f"{100 * frozen.wanted.confidence_level:.4g} % confidence level"
    by = "" if frozen.wanted.observed else ", expected without signal, the data not looked at"
    if len(answers.answers) == 1:
        return _single(frozen, answers.answers[0], level, by)
    excluded, total = answers.count(excluded=True), len(answers.answers)
    mu = "" if frozen.wanted.mu == 1.0 else f" at signal strength {frozen.wanted.mu:g}"
    verb = "is" if excluded == 1 else "are"
    text = f"{excluded} of {total} signal points {verb} excluded at {level}{mu}{by}"
    notes = [
        f"{count} {what}"
        for count, what in (
            (len(answers.having("no-events")), "without an expected event"),
            (len(answers.having("failed")), "without a number"),
        )
        if count
    ]
    text += f" ({'; '.join(notes)})" if notes else ""
    if 0 < excluded <= _NAMED:
        text += f": {', '.join(answer.point.name for answer in answers.answers if answer.excluded)}"
    longest = _longest(frozen, answers)
    return f"{text}{longest}."


def _single(frozen: FrozenRequest, answer: Answer, level: str, by: str) -> str:
    name = answer.point.name
    if answer.status == "no-events":
        below = _below(frozen, answer)
        return f"The analysis says nothing about {name}: none of its events is expected in any region{below}."
    if answer.excluded is None:
        failure = answer.body.get("failure")
        reason = failure.get("message") if isinstance(failure, dict) else "unknown"
        return f"There is no answer about {name}: {reason}."
    is_not = "" if answer.excluded else "not "
    found = answer.cls_observed if answer.cls_observed is not None else answer.cls_expected[2]
    text = f"{name} is {is_not}excluded at {level}{by}: CLs = {found:.3g}"
    if frozen.wanted.mu != 1.0:
        text += f" at signal strength {frozen.wanted.mu:g}"
    if answer.limit_expected:
        median = f"{answer.limit_expected[2]:.3g} expected"
        seen = median if answer.limit_observed is None else f"{answer.limit_observed:.3g} observed, {median}"
        text += f", upper limit on the signal strength {seen}"
    return f"{text}."


def _below(frozen: FrozenRequest, answer: Answer) -> str:
    """Return the upper limit on the efficiency as the end of a sentence, where the number of events is known."""
    generated = answer.point.generated_events
    if generated is None:
        return ""
    limit = efficiency_limit(generated, frozen.wanted.confidence_level)
    return f"; its efficiency is below {limit:.3g} at {100 * frozen.wanted.confidence_level:.4g} % confidence level"


def _longest(frozen: FrozenRequest, answers: Answers) -> str:
    """Return the longest excluded range along the first axis, as the end of the sentence; empty where there is none."""
    found = [
        (high - low, low, high, entry)
        for entry in answers.ranges
        for low, high in (entry.observed if frozen.wanted.observed else entry.expected)
        if high > low
    ]
    if not found:
        return ""
    _, low, high, entry = max(found, key=lambda item: item[0])
    first, *others = frozen.analysis.axes
    unit = "" if first.unit == "1" else f" {first.unit}"
    fixed = ", ".join(
        f"{axis.name} = {value:g}{'' if axis.unit == '1' else ' ' + axis.unit}"
        for axis, value in zip(others, entry.at, strict=True)
    )
    start = "from below " if low <= entry.covered[0] else "from "
    end = " or more" if high >= entry.covered[1] else ""
    where = f" for {fixed}" if fixed else ""
    return f"; the longest excluded range is {first.name} {start}{low:.3g} to {high:.3g}{unit}{end}{where}"
