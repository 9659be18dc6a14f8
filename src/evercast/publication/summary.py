"""The table of results as plain text, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from evercast.publication.report.view import JsonView
from evercast.publication.results import LikelihoodResult, read_result, with_interval

__all__ = ["results_table"]

_HEADER = ("likelihood", "parameter", "observed", "expected", "Z obs.", "Z exp.", "fit guard")


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
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = ["  ".join(_printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("─" * width for width in widths))
    level = next((r.observed.confidence_level for r in results if r.observed and r.observed.confidence_level), None)
    note = [] if level is None else [f"errors: profile likelihood intervals at {100 * level:.4g} % confidence level"]
    return "\n".join([*(line.rstrip() for line in lines), *note])


def _row(result: LikelihoodResult) -> tuple[str, ...]:
    if not result.trusted:
        return (result.name, result.poi, "–", "–", "–", "–", "; ".join((result.status, *result.guard))[:100])
    return (
        result.name,
        result.poi,
        with_interval(result.observed),
        with_interval(result.expected),
        _z(result.observed.z if result.observed else None),
        _z(result.expected.z if result.expected else None),
        "; ".join(("passed", *result.guard))[:100],
    )


def _z(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
