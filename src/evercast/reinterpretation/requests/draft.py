"""The text of a new request: a document that runs as it is, with what else may be asked as comments."""

from __future__ import annotations

from typing import Final

from evercast.errors import InvalidInput
from evercast.reinterpretation.wrapped.model import WrappedAnalysis, analysis_digest

__all__ = ["draft_text"]

_EVENTS: Final = """\
  #   my_events:                     # or simulated events: the preserved selection is run on them
  #     cross_section: {value_pb: 0.01, relative_uncertainty: 0.05}
  #     events:
  #       files: [{path: signal.hepmc, sha256: "...", size_bytes: 1000, events: 10000}]
  #       weights: unit              # what the weights of the file mean: unit, relative, sum or mean
  #       systematic: 0.1
  #   my_card:                       # or the card of a generator: the events are made first
  #     cross_section: {value_pb: 0.01, relative_uncertainty: 0.05}
  #     generate:
  #       program: pythia8
  #       slha: {path: point.slha, sha256: "...", size_bytes: 1000}
  #       settings: ["SUSY:gg2squarkantisquark = on", "SUSY:qqbar2squarkantisquark = on"]
  #       events: 20000
  #       seed: 1
  #       systematic: 0.1
"""


def draft_text(analysis: WrappedAnalysis, *, name: str, likelihood: str | None, points: tuple[str, ...]) -> str:
    """Return a request to an analysis.

    Args:
        analysis: that is asked.
        name: of the request.
        likelihood: set of regions; None takes the first.
        points: of the record; none asks for all of them.

    Raises:
        InvalidInput: ``request.likelihood``; ``request.unknown-point``.
    """
    chosen, regions = analysis.regions(likelihood)
    unknown = [point for point in points if point not in regions.patches]
    if unknown:
        some = ", ".join(list(regions.patches)[:3])
        message = f"the record has no signal point {unknown[0]!a}"
        raise InvalidInput(message, code="request.unknown-point", hint=f"e.g. {some}")
    listed = "[" + ", ".join(points) + "]" if points else "all"
    published = f"  published: {listed}" if regions.patches else "  # published: the record has no signal points"
    channel, bins = next(iter(regions.fitted.items()))
    metadata = analysis.metadata
    values = "[" + ", ".join("0" for _ in analysis.axes) + "]"
    axes = ", ".join(axis.name + ("" if axis.unit == "1" else f" [{axis.unit}]") for axis in analysis.axes)
    zeros = "[" + ", ".join("0.0" for _ in range(min(bins, 20))) + "]"
    of_events = "" if analysis.selection is None else _EVENTS
    return f"""\
# A request to a preserved analysis. Every key: evercast schema request.
# Check it: evercast request check FOLDER. Run it: evercast request run FOLDER.
schema: request/1.0.0
name: {name}
# title: what is asked, for people
# requester: who asks
analysis:
  name: {analysis.name}
  digest: "{analysis_digest(analysis)}"
  likelihood: {chosen}
collision: {{beams: {metadata.beams}, sqrt_s_tev: {metadata.sqrt_s_tev:g}}}
signal:
{published}
  # points:                          # signals of your own
  #   my_point:
  #     values: {values}             # {axes or "no axes"}
  #     cross_section: {{value_pb: 0.01, relative_uncertainty: 0.05, k_factor: 1.0, filter_efficiency: 1.0}}
  #     yields:                      # expected events at {metadata.luminosity_fb:g}/fb
  #       channels:
  #         {channel}: {{events: {zeros}, uncertainty: {zeros}}}
  #       systematic: 0.1
  #   my_patch:                      # or a JSON patch of the background
  #     patch: {{path: patch.json, sha256: "...", size_bytes: 1000, background: "{regions.background.sha256}"}}
{of_events}wanted: {{mu: 1.0, limits: true, confidence_level: 0.95, observed: true}}
"""
