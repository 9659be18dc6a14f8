"""The analysis that a request asks: named in the catalogue of the user, by its digest, or by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from evercast.errors import EnvironmentUnfit, InvalidInput
from evercast.events.sources import SearchPath
from evercast.reinterpretation.catalogue.model import Entry
from evercast.reinterpretation.catalogue.naming import entry_named, is_name, unknown_name
from evercast.reinterpretation.catalogue.stored import Catalogue, catalogue_file, read_catalogue
from evercast.reinterpretation.wrapped.data import RecordData
from evercast.reinterpretation.wrapped.read import read_wrapped

__all__ = [
    "Catalogue", "Entry", "catalogue_file", "entry_named", "find_analysis", "find_entry", "open_wrapped",
    "read_catalogue",
]  # fmt: skip

_FILE: Final = "wrapped.yaml"


def find_entry(name: str, catalogue: Catalogue, *, digest: str | None = None) -> Entry | None:
    """Return the entry of an analysis that requests can be sent to; None where a path is named.

    Args:
        name: a name of the catalogue (``NAME``, ``NAME@DIGITS``, ``NAME@vNUMBER``), at least 8 digits of a digest, or
            a path.
        catalogue: where names and digests are looked up.
        digest: that the request names; decides between several of one name.

    Raises:
        InvalidInput: ``catalogue.unknown``; ``catalogue.ambiguous``: several are meant, they are listed.
        EnvironmentUnfit: ``catalogue.elsewhere``: it is listed in an index and not here.
    """
    there = Path(name).exists()
    if there and not is_name(name):
        return None
    listed = catalogue.entries()
    entries = [entry for entry in listed if entry.askable]
    found = entry_named(name, entries, digest=digest)
    if found is None and there:
        return None
    if found is None:
        other = entry_named(name, listed)
        if other is None:
            raise unknown_name(name, entries)
        known = ", ".join(dict.fromkeys(entry.name for entry in entries)) or "none"
        article = "an" if other.kind == "analysis document" else "a"
        message = f"{name!a} is in the catalogue as {article} {other.kind}, which requests are not sent to"
        hint = f"what can be asked: {known}; evercast catalogue describe {name} says what this is for"
        raise InvalidInput(message, code="catalogue.unknown", hint=hint)
    if found.url is not None:
        hint = f"evercast catalogue get {found.shown_name} FOLDER brings it here"
        message = f"{name!a} is listed in {found.index} and kept at {found.url}"
        raise EnvironmentUnfit(message, code="catalogue.elsewhere", hint=hint)
    return found


def find_analysis(name: str, catalogue: Catalogue, search_path: SearchPath, *, digest: str | None = None) -> RecordData:
    """Return the wrapped analysis that a user names, with its data.

    Args:
        name: a document, its folder, or what `find_entry` takes.
        catalogue: where names and digests are looked up.
        search_path: where its files are looked for.
        digest: that the request names; decides between several of one name.

    Raises:
        InvalidInput: as `find_entry`; ``catalogue.not-wrapped``: it is an archive.
        InvalidDocument: the document is not valid.
    """
    found = find_entry(name, catalogue, digest=digest)
    if found is not None and found.kind != "wrapped likelihood":
        message = f"{name!a} is an {found.kind}, not a wrapped likelihood"
        raise InvalidInput(message, code="catalogue.not-wrapped", where=str(found.path))
    return open_wrapped(Path(name) if found is None else found.path, search_path)


def open_wrapped(path: Path, search_path: SearchPath) -> RecordData:
    """Return the wrapped analysis at a path.

    Args:
        path: its document, or the folder with it.
        search_path: where its files are looked for.

    Raises:
        InvalidInput: ``catalogue.empty``: there is none.
        InvalidDocument: the document is not valid.
    """
    document = path if path.is_file() else path / _FILE
    if not document.is_file():
        hint = "evercast wrap makes one"
        raise InvalidInput(f"there is no {_FILE} in it", code="catalogue.empty", where=str(path), hint=hint)
    return RecordData(analysis=read_wrapped(document), folder=document.parent, search_path=search_path)
