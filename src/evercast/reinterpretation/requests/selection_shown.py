"""Selected events as a response shows them: cut flow beside the published one, bins, files, and units of work."""

from __future__ import annotations

from collections.abc import Sequence

from evercast.reinterpretation.requests.frozen import FrozenPoint, FrozenRequest
from evercast.reinterpretation.requests.selected import SelectedSignal
from evercast.reinterpretation.wrapped.model import Published, WrappedAnalysis

__all__ = ["selection_to_json", "units_to_json"]


def selection_to_json(frozen: FrozenRequest, point: FrozenPoint) -> dict[str, object] | None:
    """Return how the events of a point were selected; None where it brought none."""
    found = point.selected
    if found is None:
        return None
    published = _published(frozen.analysis, frozen.likelihood, point)
    return {
        "files": [
            {"name": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes, "events": file.events or None}
            for file in found.files
        ],
        "generated_events": found.generated_events, "sum_of_weights": found.sum_of_weights,
        "effective_events": found.effective_selected, "cut_flow": _cut_flow(found, published),
        "bins": {
            name: {"events": list(bins.events), "uncertainty": list(bins.uncertainty)}
            for name, bins in found.bins.items()
        },
    }  # fmt: skip


def units_to_json(frozen: FrozenRequest) -> list[dict[str, object]]:
    """Return the units of work of all points, each once."""
    units = {unit.id: unit for point in frozen.points if point.selected is not None for unit in point.selected.units}
    return [
        {
            "id": unit.id, "stage": unit.stage, "key": unit.key,
            "origin": "computed" if unit.computed else "present", "seconds": None,
        }
        for unit in units.values()
    ]  # fmt: skip


def _published(analysis: WrappedAnalysis, likelihood: str, point: FrozenPoint) -> Sequence[Published]:
    """Return the published cut flow of the point of the record that has the name or the values of this one."""
    same = {name for name, entry in analysis.points.items() if entry.values and entry.values == point.values}
    first = next(iter(analysis.likelihoods))
    return [
        entry
        for entry in analysis.published
        if entry.kind == "cut_flow" and (entry.likelihood or first) == likelihood and entry.point in {point.name, *same}
    ]


def _cut_flow(found: SelectedSignal, published: Sequence[Published]) -> list[dict[str, object]]:
    values = {entry.step: entry.value for entry in published}
    return [
        {
            "name": step.name, "events": step.events, "sum_of_weights": step.sum_of_weights, "expected": step.expected,
            "published": values.get(step.name),
            "ratio": step.expected / values[step.name] if values.get(step.name) else None,
        }
        for step in found.cut_flow
    ]  # fmt: skip
