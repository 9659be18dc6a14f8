"""An archive that an index lists at an address, brought to a folder; only where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evercast.artifacts.archive import open_archive
from evercast.artifacts.archive_transfer import is_registry, transfer_archive
from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput
from evercast.events.sources import fetch_source, search_path_from_environment
from evercast.reinterpretation.catalogue.index import read_index
from evercast.reinterpretation.catalogue.model import Entry
from evercast.spec.model import Source

__all__ = ["bring_archive"]


def bring_archive(entry: Entry, folder: Path, *, environ: Mapping[str, str]) -> None:
    """Bring an archive to a folder, and compare its id with that of the index.

    Args:
        entry: of an index, at an address.
        folder: of the archive; made where there is none.
        environ: tells where files are looked for and whether the network may be used.

    Raises:
        InvalidInput: ``catalogue.here``: it is no archive at an address.
        EnvironmentUnfit: it is not to be had, or the network may not be used.
        IntegrityError: it is damaged; ``catalogue.index-digest``: it is another one.
    """
    if entry.url is None or entry.index is None:
        message = f"{entry.name} is here already: {entry.path}"
        raise InvalidInput(message, code="catalogue.here", hint="what an index lists at an address is brought")
    home = Path(environ["HOME"]) if environ.get("HOME") else None
    transfer_archive(_source(entry, environ), str(folder), home=home)
    ids = [version.bag.id for version in open_archive(folder, digests=False).versions]
    if entry.digest not in ids:
        message = f"the index names the digest {entry.digest}; {entry.url} gave {', '.join(ids)}"
        raise IntegrityError(message, code="catalogue.index-digest", where=str(folder), hint="do not use it")


def _source(entry: Entry, environ: Mapping[str, str]) -> str:
    assert entry.url is not None  # noqa: S101 - checked by the caller
    assert entry.index is not None  # noqa: S101 - likewise
    search_path = search_path_from_environment(environ)
    if is_registry(entry.url):
        if not search_path.network:
            message = "the network may not be used (EVERCAST_OFFLINE)"
            raise EnvironmentUnfit(message, code="catalogue.offline", where=entry.url, hint="unset EVERCAST_OFFLINE")
        return entry.url
    listed = next(
        one for one in read_index(entry.index).entries if (one.name, one.digest) == (entry.name, entry.digest)
    )  # fmt: skip
    source = Source(
        url=entry.url, sha256=listed.sha256 or "", size_bytes=listed.size_bytes or 0, license="",
        filename=entry.url.rsplit("/", 1)[-1].partition("?")[0] or "archive.tar",
    )  # fmt: skip
    return str(fetch_source(source, search_path))
