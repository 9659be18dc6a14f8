"""What a signal does to a background: its events in the channels, and the patch of events stated in a request."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from evercast.errors import InvalidInput
from evercast.likelihood.workspace_text import entries_of, numbers_of, text_of
from evercast.reinterpretation.requests.model import Yields

__all__ = ["patch_of_yields", "signal_events", "uses_luminosity"]

SIGNAL_SAMPLE: Final = "signal"
SYSTEMATIC: Final = "signal_systematic"


def signal_events(workspace: Mapping[str, object], poi: str) -> dict[str, tuple[float, ...]]:
    """Return channel -> events of all samples that scale with the parameter of interest, at its value 1.

    Raises:
        InvalidInput: the workspace is not valid.
    """
    found: dict[str, tuple[float, ...]] = {}
    for channel in entries_of(workspace, "channels", "$"):
        name = text_of(channel, "name", "$.channels")
        bins: list[float] = []
        for sample in entries_of(channel, "samples", f"$.channels.{name}"):
            modifiers = entries_of(sample, "modifiers", f"$.channels.{name}", allow_empty=True)
            if any(entry.get("name") == poi and entry.get("type") == "normfactor" for entry in modifiers):
                values = numbers_of(sample, "data", f"$.channels.{name}").tolist()
                bins = [a + b for a, b in zip(bins, values, strict=True)] if bins else values
        if bins:
            found[name] = tuple(bins)
    return found


def uses_luminosity(workspace: Mapping[str, object]) -> bool:
    """Return whether the samples of a workspace have the modifier of the luminosity."""
    return any(
        entry.get("type") == "lumi"
        for channel in entries_of(workspace, "channels", "$")
        for sample in entries_of(channel, "samples", "$.channels")
        for entry in entries_of(sample, "modifiers", "$.channels", allow_empty=True)
    )


def patch_of_yields(
    workspace: Mapping[str, object], yields: Yields, *, poi: str, where: str, validation: Collection[str] = ()
) -> list[object]:
    """Return the JSON patch that adds a signal of stated events to each of its channels.

    The events scale with the parameter of interest, with the luminosity where the background does, with one nuisance
    parameter for `systematic`, and in every bin with one for the statistical uncertainty of the simulation.

    Args:
        workspace: the background.
        yields: the events.
        poi: parameter of interest.
        where: of the request, for messages.
        validation: channels that are not fitted; the patch removes them, as those of the record do.

    Raises:
        InvalidInput: ``request.channel``, ``request.bins``, or the name of the new sample or parameter is taken.
    """
    channels = entries_of(workspace, "channels", "$")
    names = [text_of(entry, "name", "$.channels") for entry in channels]
    fitted = [name for name in names if name not in validation]
    unknown = [name for name in yields.channels if name not in fitted]
    if unknown:
        message = f"the background has no channel '{unknown[0]}' that is fitted; it has {', '.join(fitted)}"
        raise InvalidInput(message, code="request.channel", where=where)
    lumi = uses_luminosity(workspace)
    patch: list[object] = []
    for number, (name, channel) in enumerate(zip(names, channels, strict=True)):
        if name not in yields.channels:
            continue
        samples = entries_of(channel, "samples", f"$.channels[{number}]")
        bins = len(numbers_of(samples[0], "data", f"$.channels[{number}]"))
        stated = yields.channels[name]
        if len(stated.events) != bins or len(stated.uncertainty or stated.events) != bins:
            others = f" and {len(stated.uncertainty)} as uncertainty" if stated.uncertainty else ""
            noun = "bin" if bins == 1 else "bins"
            message = f"the channel '{name}' has {bins} {noun}; the signal has {len(stated.events)} as events{others}"
            raise InvalidInput(message, code="request.bins", where=where)
        taken = {text_of(sample, "name", f"$.channels[{number}]") for sample in samples}
        sample = SIGNAL_SAMPLE if SIGNAL_SAMPLE not in taken else f"{SIGNAL_SAMPLE}_of_request"
        value = {"name": sample, "data": list(stated.events), "modifiers": _modifiers(name, yields, poi, lumi=lumi)}
        patch.append({"op": "add", "path": f"/channels/{number}/samples/0", "value": value})
    removed = [number for number, name in enumerate(names) if name in validation]
    return patch + [{"op": "remove", "path": f"/channels/{number}"} for number in reversed(removed)]


def _modifiers(channel: str, yields: Yields, poi: str, *, lumi: bool) -> Sequence[Mapping[str, object]]:
    stated = yields.channels[channel]
    found: list[Mapping[str, object]] = [{"name": poi, "type": "normfactor", "data": None}]
    if lumi:
        found.append({"name": "lumi", "type": "lumi", "data": None})
    if yields.systematic > 0:
        data = {"hi": 1.0 + yields.systematic, "lo": max(1.0 - yields.systematic, 1e-3)}
        found.append({"name": SYSTEMATIC, "type": "normsys", "data": data})
    if any(stated.uncertainty):
        name = f"signal_statistics_{re.sub('[^A-Za-z0-9_]', '_', channel)}"
        found.append({"name": name, "type": "shapesys", "data": list(stated.uncertainty)})
    return found
