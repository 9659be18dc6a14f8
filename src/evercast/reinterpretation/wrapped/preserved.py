"""The selection that a wrapped analysis preserves: its document, and which channels its regions fill."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from evercast.errors import InvalidInput
from evercast.reinterpretation.wrapped.model import Binning, PreservedSelection, WrappedAnalysis
from evercast.spec.reader import read_document
from evercast.spec.report import did_you_mean

__all__ = ["SELECTION_FILE", "parse_binning", "with_selection"]

SELECTION_FILE: Final = "selection.yaml"
_BINNING: Final = re.compile(
    r"([^=]{1,200})=([A-Za-z][A-Za-z0-9_]{0,63})(?::([A-Za-z][A-Za-z0-9_]{0,63}):([^:]{1,2000}))?"
)


def parse_binning(text: str) -> tuple[str, Binning]:
    """Return the channel and what fills it.

    Args:
        text: ``CHANNEL=REGION``, or ``CHANNEL=REGION:OBSERVABLE:EDGE,EDGE,...``; with ``+`` at the end the last bin
            holds what lies above it too.

    Raises:
        InvalidInput: ``wrap.region``.
    """
    found = _BINNING.fullmatch(text)
    hint = "CHANNEL=REGION or CHANNEL=REGION:OBSERVABLE:EDGE,EDGE,..."
    if found is None:
        raise InvalidInput(f"{text[:200]!a} does not say what fills a channel", code="wrap.region", hint=hint)
    channel, region, observable, listed = found.groups()
    if observable is None:
        return channel, Binning(region=region)
    try:
        edges = tuple(float(edge) for edge in listed.removesuffix("+").split(","))
    except ValueError as err:
        raise InvalidInput(f"the edges {listed!a} are not numbers", code="wrap.region", hint=hint) from err
    return channel, Binning(region=region, observable=observable, edges=edges, overflow=listed.endswith("+"))


def with_selection(
    analysis: WrappedAnalysis, path: Path, *, regions: Sequence[str], requires: bool = False
) -> tuple[WrappedAnalysis, bytes]:
    """Return an analysis with a preserved selection, and the content of its document.

    A channel of one bin is filled by the region of its name, where nothing else is said.

    Args:
        analysis: of the record.
        path: the analysis document that selects.
        regions: what fills the other channels, as `parse_binning` reads it.
        requires: whether the events must have b hadrons.

    Raises:
        InvalidDocument: the document cannot be read.
        InvalidInput: ``wrap.selection``: it is no analysis document; ``wrap.region``: a channel or region that does
            not exist, or no channel is filled.
    """
    known_regions = _regions(path)
    content = path.read_bytes()
    channels = {name: bins for known in analysis.likelihoods.values() for name, bins in known.channels.items()}
    filled = {name: Binning(region=name) for name, bins in channels.items() if bins == 1 and name in known_regions}
    for text in regions:
        channel, binning = parse_binning(text)
        _check(channel, binning, channels, known_regions)
        filled[channel] = binning
    if not filled:
        message = "the selection fills no channel: say with --region CHANNEL=REGION what does"
        raise InvalidInput(message, code="wrap.region", hint=f"channels: {', '.join(channels)}")
    selection = PreservedSelection(
        file=SELECTION_FILE, sha256=hashlib.sha256(content).hexdigest(),
        channels={name: filled[name] for name in channels if name in filled},
        requires=("b-hadrons",) if requires else (),
    )  # fmt: skip
    return replace(analysis, selection=selection), content


def _regions(path: Path) -> tuple[str, ...]:
    """Return the names of the regions of a document; whether all of it is right is seen when it is read as a whole."""
    document = read_document(path)
    body = document.value
    kind = str(body.get("schema"))
    if not kind.startswith("analysis/"):
        message = f"expected an analysis document, found {kind[:60]!a}"
        raise InvalidInput(message, code="wrap.selection", where=str(path))
    selection = body.get("selection")
    regions = selection.get("regions") if isinstance(selection, Mapping) else None
    if not isinstance(regions, Mapping) or not regions:
        raise InvalidInput("the document has no regions", code="wrap.selection", where=str(path))
    return tuple(regions)


def _check(channel: str, binning: Binning, channels: Mapping[str, int], regions: Sequence[str]) -> None:
    if channel not in channels:
        hint = did_you_mean(channel, channels) or f"channels: {', '.join(channels)}"
        raise InvalidInput(f"the record has no channel {channel!a}", code="wrap.region", hint=hint)
    if binning.region not in regions:
        hint = did_you_mean(binning.region, regions) or f"regions: {', '.join(regions)}"
        raise InvalidInput(f"the selection has no region {binning.region!a}", code="wrap.region", hint=hint)
    if binning.bins != channels[channel]:
        message = f"the channel {channel!a} has {channels[channel]} bins; {binning.bins} would be filled"
        raise InvalidInput(message, code="wrap.region", hint="CHANNEL=REGION:OBSERVABLE:EDGE,EDGE,...")
