"""The preserved analyses that a user knows, as the pages show them, and the pages that belong to each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.errors import EvercastError, InvalidInput
from evercast.events.sources import search_path_from_environment
from evercast.reinterpretation.catalogue.model import Entry
from evercast.reinterpretation.catalogue.stored import catalogue_file, read_catalogue
from evercast.reinterpretation.wrapped.read import read_wrapped
from evercast.serve.site import Site

__all__ = ["RegionsShown", "Report", "asked_entry", "entries_of", "entry_of", "identity", "regions_of", "reports_of"]

_PAGES: Final = (
    (("report.html",), "Report of the analysis"),
    (("data", "results", "report.html"), "Report of the analysis"),
    (("index.html",), "Page of the likelihood"),
)
"""Pages that evercast writes beside an analysis; no other file of it is shown."""
_REPLAY: Final = "replay.html"

Report = tuple[Path, tuple[str, ...], str]
"""A page: the folder of the analysis, the path in it, what it is."""


def entries_of(site: Site) -> tuple[Entry, ...]:
    """Return the analyses in the catalogue of the user.

    Raises:
        InvalidInput: ``catalogue.damaged``.
        EnvironmentUnfit: ``environment.home``.
    """
    file = catalogue_file(site.environ)
    return read_catalogue(file, cache=search_path_from_environment(site.environ).cache).entries()


def identity(entry: Entry) -> str:
    """Return what stands for an entry in an address."""
    return hashlib.sha256(f"{entry.path}\n{entry.digest}\n{entry.kind}".encode()).hexdigest()[:16]


def entry_of(site: Site, wanted: str) -> Entry:
    """Return an analysis by its identity.

    Raises:
        InvalidInput: ``serve.no-analysis``.
    """
    for entry in entries_of(site):
        if identity(entry) == wanted:
            return entry
    raise InvalidInput("the catalogue has no such analysis", code="serve.no-analysis", hint="it changed meanwhile")


def asked_entry(site: Site, *, name: str, digest: str) -> Entry | None:
    """Return the analysis that a request names; None where the catalogue has none, or several."""
    found = [entry for entry in entries_of(site) if entry.askable and entry.name == name and entry.problem is None]
    of_digest = [entry for entry in found if entry.digest == digest] or found
    return of_digest[0] if len({entry.digest for entry in of_digest}) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionsShown:
    """What a requester has to know of a set of regions.

    Args:
        name: that a request names.
        background: digest that a patch states.
        channels: (name, bins), for expected events.
        points: of the record.
    """

    name: str
    background: str
    channels: tuple[tuple[str, int], ...]
    points: tuple[str, ...]


def regions_of(entry: Entry) -> tuple[RegionsShown, ...]:
    """Return the sets of regions of a published likelihood; none of anything else, or where it cannot be read."""
    if entry.kind != "wrapped likelihood" or entry.problem is not None or entry.url is not None:
        return ()
    try:
        likelihoods = read_wrapped(entry.path).likelihoods
    except EvercastError:
        return ()
    return tuple(
        RegionsShown(
            name=name, background=regions.background.sha256, channels=tuple(regions.channels.items()),
            points=tuple(regions.patches),
        )
        for name, regions in likelihoods.items()
    )  # fmt: skip


def reports_of(entry: Entry) -> tuple[Report, ...]:
    """Return the pages that lie with an analysis, and that of its last replay; links are not followed."""
    if entry.url is not None:
        return ()
    folder = entry.path if entry.path.is_dir() else entry.path.parent
    version = folder / f"v{entry.version}"
    if entry.version is not None and version.is_dir():
        folder = version
    found: list[Report] = [
        (folder, parts, what)
        for parts, what in _PAGES
        if entry.kind in {"archive", "neural bundle"} and folder.joinpath(*parts).is_file()
    ]
    replays = [Path(text) for what, text in entry.facts if what == "last replay"]
    found += [(place, (_REPLAY,), "Report of the last replay") for place in replays if (place / _REPLAY).is_file()]
    return tuple(found)
