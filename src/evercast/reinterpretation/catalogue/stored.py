"""The catalogue of a user: ``catalogue.json`` in the configuration folder, and all that lies in the places it names."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_json, make_folder, read_json
from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput
from evercast.reinterpretation.catalogue.entries import entries_of_place
from evercast.reinterpretation.catalogue.index import entries_of_index, read_index
from evercast.reinterpretation.catalogue.model import Entry, plain_entry
from evercast.reinterpretation.catalogue.places import DOCUMENTS, Found, find_places
from evercast.reinterpretation.catalogue.remembered import Remembered
from evercast.reinterpretation.catalogue.replays import last_replay, replay_folder

__all__ = ["Catalogue", "catalogue_file", "read_catalogue"]

_SCHEMA: Final = "catalogue/1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The places of a user.

    Args:
        file: where it is kept.
        folders: named with ``evercast catalogue add``; documents, indexes and tar files among them.
        cache: where entries that were looked at are kept; None keeps nothing.
    """

    file: Path
    folders: tuple[Path, ...] = ()
    cache: Path | None = None

    def with_folder(self, folder: Path) -> Catalogue:
        """Return the catalogue with one place more, written down.

        Raises:
            InvalidInput: ``catalogue.missing``, ``catalogue.empty``: no analysis is below it.
            InvalidDocument: it is an index that is not valid.
            EnvironmentUnfit: the disk refuses.
        """
        place = folder.absolute()
        if not place.exists():
            raise InvalidInput(f"{folder} does not exist", code="catalogue.missing")
        found = find_places(place)
        if not found:
            hint = "evercast wrap makes a preserved analysis of a published likelihood"
            message = (
                f"there is no preserved analysis below it (a file {' or '.join(DOCUMENTS)}, an archive, a neural "
                "bundle, or an index of such)"
            )
            raise InvalidInput(message, code="catalogue.empty", where=str(folder), hint=hint)
        if place.is_file() and found[0].form == "index":
            read_index(place)
        return self._written((*(known for known in self.folders if known != place), place))

    def without(self, name: str) -> Catalogue:
        """Return the catalogue without a place, which is left as it is.

        Args:
            name: of the place, or of an analysis in it.

        Raises:
            InvalidInput: ``catalogue.unknown``.
        """
        place = Path(name).absolute()
        gone = [place] if place in self.folders else []
        if not gone:
            paths = [entry.index or entry.path for entry in self.entries() if name in {entry.name, entry.shown_name}]
            gone = [folder for folder in self.folders if any(folder in (path, *path.parents) for path in paths)]
        if not gone:
            known = ", ".join(str(folder) for folder in self.folders) or "none"
            raise InvalidInput(f"the catalogue has no {name!r}", code="catalogue.unknown", hint=f"folders: {known}")
        return self._written(tuple(folder for folder in self.folders if folder not in gone))

    def _written(self, folders: tuple[Path, ...]) -> Catalogue:
        make_folder(self.file.parent)
        atomic_write_json(self.file, {"schema": _SCHEMA, "folders": [str(folder) for folder in folders]})
        return replace(self, folders=folders)

    def entries(self) -> tuple[Entry, ...]:
        """Return every analysis in the places, those that cannot be read with the reason.

        Of archives and bundles the records are read, and compared with their digests; no other file of them is.
        """
        known = Remembered(None if self.cache is None else self.cache / "catalogue.json", now=time.time_ns())
        replays = replay_folder(self.file)
        found = [self._with_replay(entry, replays) for entry in self._entries(known)]
        known.keep()
        return tuple({(entry.path, entry.digest, entry.kind, entry.name, entry.url): entry for entry in found}.values())

    def _entries(self, known: Remembered) -> Iterator[Entry]:
        def look(found: Found) -> list[Entry]:
            return [] if found.form == "index" else known.entries(found, entries_of_place)

        for place in dict.fromkeys(found for folder in self.folders for found in find_places(folder)):
            listed = entries_of_index(place.path, look) if place.form == "index" else look(place)
            yield from map(plain_entry, listed)

    @staticmethod
    def _with_replay(entry: Entry, folder: Path) -> Entry:
        replay = last_replay(folder, entry.digest) if entry.kind == "archive" else None
        if replay is None:
            return entry
        return replace(entry, replayed=str(replay), facts=(*entry.facts, ("last replay", replay.report)))


def catalogue_file(environ: Mapping[str, str]) -> Path:
    """Return where the catalogue of a user is kept.

    ``EVERCAST_CONFIG`` names the folder; else it is ``evercast`` in ``XDG_CONFIG_HOME`` or in ``~/.config``.

    Raises:
        EnvironmentUnfit: ``environment.home``.
    """
    if environ.get("EVERCAST_CONFIG"):
        return Path(environ["EVERCAST_CONFIG"]) / "catalogue.json"
    if environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"]) / "evercast" / "catalogue.json"
    if environ.get("HOME"):
        return Path(environ["HOME"]) / ".config" / "evercast" / "catalogue.json"
    raise EnvironmentUnfit("there is no HOME for a catalogue", code="environment.home", hint="set EVERCAST_CONFIG")


def read_catalogue(file: Path, *, cache: Path | None = None) -> Catalogue:
    """Return the catalogue in a file; an empty one where there is none.

    Args:
        file: where it is kept.
        cache: folder in which what was looked at may be kept; None keeps nothing.

    Raises:
        InvalidInput: ``catalogue.damaged``.
    """
    if not file.exists():
        return Catalogue(file=file, cache=cache)
    try:
        body = read_json(file)
    except IntegrityError as err:
        raise InvalidInput(err.message, code="catalogue.damaged", hint="remove it and add the folders again") from err
    folders = body.get("folders") if isinstance(body, dict) and body.get("schema") == _SCHEMA else None
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        hint = "remove it and add the folders again"
        raise InvalidInput("the file is no catalogue", code="catalogue.damaged", where=str(file), hint=hint)
    return Catalogue(file=file, folders=tuple(Path(folder) for folder in folders), cache=cache)
