"""What was published against what its likelihood gives: where the two differ, the record contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evercast.reinterpretation.wrapped.model import Published, WrappedAnalysis

__all__ = ["Compared", "Found", "compare_published", "contradictions"]

_TITLES = {
    "cls_observed": "observed CLs",
    "limit_observed": "observed upper limit on the signal strength",
    "limit_expected": "expected upper limit on the signal strength",
    "limit_cross_section_pb": "observed upper limit on the cross-section",
    "acceptance_efficiency": "acceptance times efficiency",
    "excluded_from": "begin of the excluded range",
    "excluded_to": "end of the excluded range",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the likelihood gives for a point; None where it was not computed."""

    cls_observed: float | None
    limit_observed: float | None
    limit_expected: float | None
    events: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One published number beside the one found.

    Args:
        published: as the analysis document states it.
        title: what it is, in words.
        found: by the likelihood, in the same unit.
        agrees: within the tolerance of the document.
    """

    published: Published
    title: str
    found: float
    agrees: bool

    @property
    def ratio(self) -> float:
        """What was found over what was published."""
        return self.found / self.published.value if self.published.value else float("inf")


def compare_published(
    analysis: WrappedAnalysis,
    likelihood: str,
    points: Mapping[str, Found],
    ends: Mapping[tuple[float, ...], tuple[float | None, float | None]],
    *,
    confidence_level: float,
) -> tuple[Compared, ...]:
    """Return every published number that these results can be compared with.

    Args:
        analysis: with the published numbers.
        likelihood: set of regions of the results.
        points: name -> result, of points of the record at signal strength 1.
        ends: values of the other axes -> ends of the longest observed excluded range along the first axis; None where
            the points do not tell it.
        confidence_level: of limits and ranges; published ones are taken to be of 0.95.
    """
    first = next(iter(analysis.likelihoods))
    compared = []
    for entry in analysis.published:
        if (entry.likelihood or first) != likelihood or entry.kind == "cut_flow":
            continue
        if entry.kind not in {"cls_observed", "acceptance_efficiency"} and confidence_level != 0.95:
            continue
        found = _found(analysis, entry, points, ends)
        if found is not None:
            agrees = abs(found - entry.value) <= entry.tolerance * abs(entry.value)
            compared.append(Compared(published=entry, title=_TITLES[entry.kind], found=found, agrees=agrees))
    return tuple(compared)


def _found(
    analysis: WrappedAnalysis,
    entry: Published,
    points: Mapping[str, Found],
    ends: Mapping[tuple[float, ...], tuple[float | None, float | None]],
) -> float | None:
    if entry.kind in {"excluded_from", "excluded_to"}:
        low, high = ends.get(entry.at, (None, None))
        return low if entry.kind == "excluded_from" else high
    point = points.get(entry.point or "")
    if point is None:
        return None
    sigma = analysis.points[entry.point or ""].cross_section_pb if entry.point in analysis.points else None
    if entry.kind == "limit_cross_section_pb":
        return None if point.limit_observed is None or sigma is None else point.limit_observed * sigma
    if entry.kind == "acceptance_efficiency":
        bins = point.events.get(entry.channel or "")
        if bins is None or sigma is None or entry.bin is None:
            return None
        return bins[entry.bin] / (sigma * 1000.0 * analysis.metadata.luminosity_fb)
    return {"cls_observed": point.cls_observed, "limit_observed": point.limit_observed}.get(
        entry.kind, point.limit_expected
    )


def contradictions(compared: Iterable[Compared]) -> list[str]:
    """Return a sentence for each kind of number that disagrees; empty where the record agrees with itself."""
    by_kind: dict[str, list[Compared]] = {}
    total: dict[str, int] = {}
    for entry in compared:
        total[entry.title] = total.get(entry.title, 0) + 1
        if not entry.agrees:
            by_kind.setdefault(entry.title, []).append(entry)
    sentences = []
    for title, entries in by_kind.items():
        ratios = [entry.ratio for entry in entries]
        low, high = min(ratios), max(ratios)
        span = f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f} to {high:.3f}"
        places = list(dict.fromkeys(_place(entry.published) for entry in entries))
        where = ", ".join(places[:12]) + (f" and {len(places) - 12} more" if len(places) > 12 else "")
        sentences.append(
            f"The record contradicts itself in {len(entries)} of {total[title]} numbers of the kind '{title}': what "
            f"its likelihood gives is {span} times what it states ({where}; stated in {entries[0].published.source})."
        )
    return sentences


def _place(entry: Published) -> str:
    if entry.point is None:
        return f"at {', '.join(f'{value:g}' for value in entry.at)}"
    return entry.point if entry.channel is None else f"{entry.point}, {entry.channel} bin {entry.bin}"
