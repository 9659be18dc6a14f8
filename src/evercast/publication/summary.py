"""The table of results as plain text, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from evercast.publication.report.view import JsonView
from evercast.publication.results import (
    BLINDED,
    LikelihoodResult,
    observed_text,
    read_result,
    with_interval,
    with_limit,
)

__all__ = ["expected_line", "results_table"]

_HEADER = ("likelihood", "parameter", "observed", "expected", "Z obs.", "Z exp.", "limit obs.", "exp.", "fit guard")
_DECLARED = "declared."
_LIMITS = (6, 7)
"""Columns of the upper limits, shown where one was asked for."""


def results_table(fit: Mapping[str, object]) -> str:
    """Return the results of a run as a table of text, one line a likelihood.

    Args:
        fit: content of ``fit.json``.

    Example:
        >>> print(results_table({"results": {}}))
        no likelihood was fitted
    """
    results = [read_result(name, body) for name, body in JsonView(dict(fit)).items("results")]
    if not results:
        return "no likelihood was fitted"
    rows = [_HEADER, *(_row(result) for result in results)]
    if not any(side is not None and side.limit is not None for r in results for side in (r.observed, r.expected)):
        rows = [tuple(cell for column, cell in enumerate(row) if column not in _LIMITS) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join([*(line.rstrip() for line in lines), *_notes(results)])


def expected_line(diagnostics: Mapping[str, object]) -> str | None:
    """Return in one line whether the numbers that the document declares came out; None where it declares none.

    Args:
        diagnostics: content of ``diagnostics.json``.

    Example:
        >>> expected_line({"checks": [{"id": "declared.binned.mu_hat", "status": "green"}]})
        'expected: 1 of 1 declared numbers within their tolerance'
    """
    checks = JsonView(dict(diagnostics)).entries("checks")
    declared = {
        identity.removeprefix(_DECLARED): entry
        for entry in checks
        if (identity := entry.text("id") or "").startswith(_DECLARED)
    }
    if not declared:
        return None
    missed = {key: entry for key, entry in declared.items() if entry.text("status") != "green"}
    said = f"expected: {len(declared) - len(missed)} of {len(declared)} declared numbers within their tolerance"
    return "; ".join([said, *(f"{key}: {entry.text('message')}" for key, entry in missed.items())])


def _notes(results: list[LikelihoodResult]) -> list[str]:
    sides = [side for result in results for side in (result.observed, result.expected) if side is not None]
    level = next((side.confidence_level for side in sides if side.confidence_level), None)
    limit = next((side.limit for side in sides if side.limit), None)
    notes = [] if level is None else [f"errors: profile likelihood intervals at {100 * level:.4g} % confidence level"]
    if limit is not None:
        notes.append(f"limits: CLs, {100 * limit.confidence_level:.4g} % confidence level, {limit.method}")
    blind = sorted({channel for result in results for channel in result.blinded})
    return [*notes, f"blind: {', '.join(blind)}"] if blind else notes


def _row(result: LikelihoodResult) -> tuple[str, ...]:
    if not result.trusted:
        return (result.name, result.poi, *("–",) * 6, "; ".join((result.status, *result.guard))[:100])
    hidden = BLINDED if result.blinded else "–"
    return (
        result.name,
        result.poi,
        observed_text(result),
        with_interval(result.expected),
        _z(result.observed.z) if result.observed else hidden,
        _z(result.expected.z if result.expected else None),
        with_limit(result.observed.limit) if result.observed else hidden,
        with_limit(result.expected.limit if result.expected else None),
        "; ".join(("passed", *result.guard))[:100],
    )


def _z(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
