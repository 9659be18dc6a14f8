"""What an archived run answers, in one sentence."""

from __future__ import annotations

from typing import Final

from evercast.reinterpretation.neural.answers import (
    ModelPointAnswer,
    NeuralAnswers,
    NeymanUpper,
    ParametrisationAnswer,
    ProcessAnswer,
)

__all__ = ["excluded", "neural_verdict"]

_NAMED: Final = 4
"""Excluded signals that are named."""
_NOTABLE: Final = 0.001
"""Share of a signal outside of the training that the sentence tells."""

AnyAnswer = ProcessAnswer | ModelPointAnswer | ParametrisationAnswer


def excluded(answer: AnyAnswer, confidence_level: float) -> bool | None:
    """Return whether a signal is excluded; None where there is no number, or nothing to exclude.

    A new process by CLs at the value that was asked for, observed or else the expected median; a point of the model by
    the p-value of the likelihood ratio of the data.
    """
    size = 1.0 - confidence_level
    if isinstance(answer, ParametrisationAnswer) or answer.status not in {"ok", "at-bound"}:
        return None
    if isinstance(answer, ModelPointAnswer):
        return None if answer.p_value is None else answer.p_value < size
    if answer.cls is None:
        return None
    found = answer.cls.observed if answer.cls.observed is not None else _median(answer.cls.expected)
    return None if found is None else found < size


def neural_verdict(answers: NeuralAnswers, confidence_level: float) -> str:
    """Return what was found, in one sentence that says at which level and what has no number."""
    level = f"{100 * confidence_level:.4g} % confidence level"
    if len(answers.points) == 1:
        return _single(answers.points[0], level, confidence_level)
    signals = [answer for answer in answers.points if not isinstance(answer, ParametrisationAnswer)]
    verdicts = {answer.name: excluded(answer, confidence_level) for answer in signals}
    out = [name for name, verdict in verdicts.items() if verdict]
    if len(signals) == 1:
        return _single(signals[0], level, confidence_level)
    verb = "is" if len(out) == 1 else "are"
    text = f"{len(out)} of {len(verdicts)} signals {verb} excluded at {level}"
    notes = [
        f"{count} {what}"
        for status, what in (
            ("refused", "refused, outside of what the networks were trained on"),
            ("no-events", "without an expected event"),
            ("failed", "without a number"),
        )
        if (count := sum(answer.status == status for answer in answers.points))
    ]
    text += f" ({'; '.join(notes)})" if notes else ""
    return f"{text}{': ' + ', '.join(out) if 0 < len(out) <= _NAMED else ''}."


def _single(answer: AnyAnswer, level: str, confidence_level: float) -> str:
    if answer.status == "refused":
        return f"The analysis does not answer about {answer.name}: {answer.reason or 'it is outside of its domain'}."
    if answer.status == "no-events":
        return f"The analysis says nothing about {answer.name}: none of its events is expected in any region."
    if answer.status == "failed":
        return f"There is no answer about {answer.name}: {answer.reason or 'unknown'}."
    if isinstance(answer, ProcessAnswer):
        return _process(answer, level, confidence_level)
    if isinstance(answer, ModelPointAnswer):
        return _model_point(answer, level, confidence_level)
    return _parametrisation(answer)


def _process(answer: ProcessAnswer, level: str, confidence_level: float) -> str:
    parts = []
    verdict = excluded(answer, confidence_level)
    if answer.cls is not None and verdict is not None:
        seen = answer.cls.observed
        found = seen if seen is not None else _median(answer.cls.expected)
        by = "" if seen is not None else ", expected without signal, the data not looked at"
        is_not = "" if verdict else "not "
        parts.append(
            f"{answer.name} is {is_not}excluded at {level}{by}: CLs = {found:.3g} at {answer.parameter} = "
            f"{answer.cls.value:g}"
        )
    if answer.limits is not None and len(answer.limits.expected) == 5:
        median = f"{answer.limits.expected[2]:.3g} expected"
        seen = answer.limits.observed
        by = median if seen is None else f"{seen:.3g} observed, {median}"
        parts.append(f"upper limit on {answer.parameter} {by} (CLs)")
    if answer.neyman is not None and answer.neyman.high is not None:
        parts.append(f"{_neyman(answer.neyman, answer.neyman.high)} by the Neyman construction")
    if not parts and answer.observed is not None:
        parts.append(f"{answer.observed.parameter} = {answer.observed.value:.3g} for {answer.name}")
    outside = max((share.outside for share in answer.domain), default=0.0)
    if outside > _NOTABLE:
        parts.append(f"{100 * outside:.2g} % of the signal lies where the networks were not trained")
    return f"{', '.join(parts) or f'{answer.name} was added to the likelihood'}."


def _neyman(found: NeymanUpper, high: float) -> str:
    """Return the upper end, or both where the smallest value is not accepted; the largest tested one is no limit."""
    upper = f"{'at least ' if found.open_high else ''}{high:.3g}"
    return upper if found.open_low or found.low is None else f"from {found.low:.3g} to {upper}"


def _model_point(answer: ModelPointAnswer, level: str, confidence_level: float) -> str:
    point = ", ".join(f"{name} = {value:g}" for name, value in answer.declared.items())
    verdict = excluded(answer, confidence_level)
    if verdict is None or answer.twice_nll_ratio is None:
        return f"{answer.name} was evaluated at {point}; the data were not looked at."
    is_not = "" if verdict else "not "
    found = f"-2 ln λ = {answer.twice_nll_ratio:.3g}, p = {answer.p_value:.3g}"
    return f"{answer.name} ({point}) is {is_not}excluded at {level}: {found}."


def _parametrisation(answer: ParametrisationAnswer) -> str:
    found = answer.observed or answer.expected
    if found is None:
        return f"The likelihood was written in {', '.join(answer.parameters)}."
    error = "" if found.uncertainty is None else f" ± {found.uncertainty:.2g}"
    by = "" if answer.observed is not None else ", expected, the data not looked at"
    return f"In the new parameters {answer.parameter} = {found.value:.3g}{error}{by}."


def _median(expected: tuple[float, ...]) -> float | None:
    return expected[2] if len(expected) == 5 else None
