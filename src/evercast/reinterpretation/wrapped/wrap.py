"""A record becomes a wrapped analysis: every patch is applied once, every digest written down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evercast.errors import EvercastError, IntegrityError, InvalidInput
from evercast.likelihood.histfactory import apply_patch, patches_of_set, read_workspace
from evercast.likelihood.workspace_text import entries_of, mapping_of, numbers_of, text_of
from evercast.reinterpretation.requests.signals import signal_events
from evercast.reinterpretation.wrapped.data import json_digest
from evercast.reinterpretation.wrapped.model import (
    Axis,
    DataFile,
    Metadata,
    Place,
    Point,
    Regions,
    WrappedAnalysis,
)
from evercast.reinterpretation.wrapped.record import Document, Record, RegionDocuments
from evercast.spec.report import did_you_mean

__all__ = ["PointNames", "WrapRequest", "wrap_record"]

_NUMBER = r"([0-9]+(?:[p.][0-9]+)?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PointNames:
    """How the names of points tell their values: ``DS_{m_stau}_{m_lsp}_Staus``; ``p`` is a decimal point."""

    axes: tuple[str, ...]
    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> PointNames:
        """Return the pattern in a text.

        Raises:
            InvalidInput: ``wrap.pattern``: it names no value, or one twice.
        """
        parts = re.split(r"\{([A-Za-z][A-Za-z0-9_]{0,63})\}", text)
        axes = tuple(parts[1::2])
        if not axes or len(set(axes)) != len(axes):
            message = f"the pattern {text!r} must name each value once, in braces"
            raise InvalidInput(message, code="wrap.pattern", hint="e.g. 'DS_{m_stau}_{m_lsp}_Staus'")
        literal = [re.escape(part) for part in parts[::2]]
        return cls(axes=axes, pattern=re.compile(_NUMBER.join(literal)))

    def values(self, name: str) -> tuple[float, ...]:
        """Return the values that the name of a point tells.

        Raises:
            InvalidInput: ``wrap.pattern``: the name is not of this form.
        """
        found = self.pattern.fullmatch(name)
        if found is None:
            message = f"the point '{name}' does not match the pattern of --points"
            raise InvalidInput(message, code="wrap.pattern", hint=f"values: {', '.join(self.axes)}")
        return tuple(float(part.replace("p", ".")) for part in found.groups())


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapRequest:
    """What a record does not say of itself."""

    name: str
    title: str
    metadata: Metadata
    points: PointNames | None = None
    axes: tuple[Axis, ...] = ()
    url: str | None = None


def wrap_record(record: Record, request: WrapRequest) -> WrappedAnalysis:
    """Return the wrapped analysis of a record; each of its patches was applied to its background and read.

    Raises:
        InvalidInput: a workspace or a patch is not valid (its place is named); ``wrap.multiplicity``,
            ``wrap.duplicate-point``, ``wrap.axis``.
        IntegrityError: ``workspace.patchset-digest``: a patchset belongs to another background.
    """
    axes: tuple[Axis, ...] = tuple(
        next((axis for axis in request.axes if axis.name == name), Axis(name=name))
        for name in (request.points.axes if request.points else ())
    )
    points: dict[str, Point] = {}
    likelihoods: dict[str, Regions] = {}
    for name, region in record.regions.items():
        regions, found, labels = _regions(region, request.points)
        if labels and not axes:
            axes = tuple(
                next((axis for axis in request.axes if axis.name == label), Axis(name=label)) for label in labels
            )
        likelihoods[name] = regions
        for point, values in found.items():
            if points.setdefault(point, Point(values=values)).values != values:
                message = f"the point '{point}' has other values in another set of regions"
                raise InvalidInput(message, code="wrap.duplicate-point", where=name)
    _refuse_twice(points)
    axes = axes or request.axes  # a record without signal points says nothing of the plane of its signals
    unknown = [axis.name for axis in request.axes if axis.name not in {known.name for known in axes}]
    if unknown:
        names = ", ".join(axis.name for axis in axes)
        message = f"no value of the signal points is called {unknown[0]!a}; they are {names}"
        raise InvalidInput(message, code="wrap.axis", hint=did_you_mean(unknown[0], names.split(", ")))
    return WrappedAnalysis(
        name=request.name, title=request.title, metadata=request.metadata,
        files={key: _described(file, request) for key, file in record.files.items()},
        likelihoods=likelihoods, axes=axes, points=points,
    )  # fmt: skip


def _described(file: DataFile, request: WrapRequest) -> DataFile:
    return replace(file, url=request.url, doi=request.metadata.doi)


def _regions(
    region: RegionDocuments, names: PointNames | None
) -> tuple[Regions, Mapping[str, tuple[float, ...]], Sequence[str]]:
    """Return a set of regions, the values of its points, and the labels of its patchset."""
    document = region.background
    workspace = mapping_of(document.value, document.shown)
    channels = {
        text_of(entry, "name", document.shown): _bins(entry, document.shown)
        for entry in entries_of(workspace, "channels", document.shown)
    }
    background = Place(file=document.file, member=document.member, sha256=json_digest(workspace))
    values: dict[str, tuple[float, ...]] = {}
    patches: dict[str, Place] = {}
    labels: Sequence[str] = ()
    for name, entry in region.patches.items():
        _try_patch(workspace, entry.value, name, entry.shown)
        patches[name] = Place(file=entry.file, member=entry.member, sha256=json_digest(entry.value))
        values[name] = () if names is None else names.values(name)
    if region.patchset is not None:
        labels = _from_patchset(region.patchset, workspace, background.sha256, patches, values, names)
    regions = Regions(background=background, channels=channels, poi=_poi(workspace, document.shown), patches=patches)
    return regions, values, labels


def _bins(channel: Mapping[str, object], where: str) -> int:
    samples = entries_of(channel, "samples", where)
    return len(numbers_of(samples[0], "data", where))


def _poi(workspace: Mapping[str, object], where: str) -> str:
    measurement = entries_of(workspace, "measurements", where)[0]
    return text_of(mapping_of(measurement.get("config"), where), "poi", where)


def _from_patchset(
    document: Document,
    workspace: Mapping[str, object],
    digest: str,
    patches: dict[str, Place],
    values: dict[str, tuple[float, ...]],
    names: PointNames | None,
) -> Sequence[str]:
    """Add the patches of a patchset; return its labels."""
    body = mapping_of(document.value, document.shown)
    metadata = mapping_of(body.get("metadata"), f"{document.shown}: $.metadata")
    digests = metadata.get("digests")
    wanted = digests.get("sha256") if isinstance(digests, Mapping) else None
    if wanted is not None and wanted != digest:
        message = f"the patchset is made for a workspace with sha256 {wanted}; this background has {digest}"
        raise IntegrityError(message, code="workspace.patchset-digest", where=document.shown)
    listed = metadata.get("labels")
    labels = tuple(str(label) for label in listed) if isinstance(listed, list) else ()
    stated = {
        str(mapping_of(entry.get("metadata"), document.shown).get("name")): mapping_of(
            entry.get("metadata"), document.shown
        ).get("values")
        for entry in entries_of(body, "patches", document.shown)
    }
    for name, patch in patches_of_set(body).items():
        where = f"{document.shown}: {name}"
        if name in patches:
            raise InvalidInput(f"the point '{name}' stands twice", code="wrap.duplicate-point", where=where)
        found = stated[name]
        if not isinstance(found, list) or len(found) != len(labels):
            count = len(found) if isinstance(found, list) else "no"
            message = f"the patch has {count} values; the patchset has {len(labels)} labels"
            raise InvalidInput(message, code="wrap.multiplicity", where=where)
        _try_patch(workspace, patch, name, where)
        patches[name] = Place(file=document.file, member=document.member, patch=name, sha256=json_digest(patch))
        values[name] = _numbers(found, where) if names is None else names.values(name)
    return labels


def _numbers(found: Sequence[object], where: str) -> tuple[float, ...]:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in found):
        message = f"the values {found} are not numbers"
        raise InvalidInput(message, code="wrap.multiplicity", where=where, hint="say them with --points PATTERN")
    return tuple(float(str(value)) for value in found)


def _try_patch(workspace: Mapping[str, object], patch: object, name: str, where: str) -> None:
    """Apply a patch and read what comes out.

    Raises:
        InvalidInput: as `apply_patch` and `read_workspace`, with the place of the patch; ``wrap.negative-bin``.
    """
    if not isinstance(patch, list):
        raise InvalidInput("a JSON patch must be a list", code="workspace.patch", where=where)
    try:
        patched = apply_patch(workspace, patch)
        read_workspace(patched, name=name)
        signal = signal_events(patched, _poi(workspace, where))
    except EvercastError as err:
        err.where = f"{where}: {err.where}" if err.where else where
        raise
    for channel, bins in signal.items():
        worst = min(range(len(bins)), key=lambda number: bins[number])
        if bins[worst] < 0:
            message = f"the signal has {bins[worst]:g} events in bin {worst} of '{channel}'"
            hint = "a bin cannot expect fewer than 0; leave this patch out of the record"
            raise InvalidInput(message, code="wrap.negative-bin", where=where, hint=hint)


def _refuse_twice(points: Mapping[str, Point]) -> None:
    seen: dict[tuple[float, ...], str] = {}
    for name, point in points.items():
        if point.values and (other := seen.setdefault(point.values, name)) != name:
            message = f"the points '{other}' and '{name}' have the same values {list(point.values)}"
            raise InvalidInput(message, code="wrap.duplicate-point")
