"""Where a likelihood lies: a path or a URL, a folder or an archive of one, checked before it is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from evercast.artifacts.bundle_open import MANIFEST_FILE, open_bundle
from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE
from evercast.errors import IntegrityError, InvalidInput
from evercast.events.downloads import fetch_url
from evercast.events.sources import search_path_from_environment
from evercast.interop.unpack import is_archive, unpacked

__all__ = ["Opened", "opened_place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A place whose content was checked as far as that is possible before it is read.

    Args:
        path: a folder or a file.
        manifest: of a neural bundle, all digests of which agree; empty for anything else.
        name: by which a downloaded file is known; None where `path` says it.
    """

    path: Path
    manifest: Mapping[str, object] = field(default_factory=dict)
    name: str | None = None


def opened_place(place: str, *, sha256: str | None = None) -> Opened:
    """Return the local path of a likelihood, downloaded and unpacked where that is needed.

    Args:
        place: a path, or an https URL.
        sha256: digest of the file, downloaded or not.

    Raises:
        InvalidInput: ``likelihood.missing``, ``source.url``, ``source.digest``, ``format.unknown-version``.
        IntegrityError: ``source.checksum``; the bundle is damaged (``bundle.*``) or not safe to unpack (``unpack.*``).
        EnvironmentUnfit: ``source.unavailable``, ``disk.full``, ``disk.read-only``.
    """
    search_path, name = None, None
    if "://" in place:
        search_path = search_path_from_environment(os.environ)
        path = fetch_url(place, search_path, sha256=sha256)
        name = Path(urlsplit(place).path).stem or None
    else:
        path = Path(place)
        if not path.exists():
            raise InvalidInput(f"{place} does not exist", code="likelihood.missing")
        if sha256 is not None:
            _compare(path, sha256)
    if path.is_file() and is_archive(path):
        path = unpacked(path, (search_path or search_path_from_environment(os.environ)).cache)
    if path.is_dir() and (path / MANIFEST_FILE).is_file() and (path / LIKELIHOOD_FILE).is_file():
        return Opened(path=path, manifest=open_bundle(path).manifest)
    return Opened(path=path, name=name if path.is_file() else None)


def _compare(path: Path, sha256: str) -> None:
    if not path.is_file():
        message = "a digest is that of a file; a folder was given"
        raise InvalidInput(message, code="source.digest", where=str(path), hint="a bundle has its digests inside")
    found = sha256_file(path)
    if found != sha256:
        message = f"the file has sha256 {found}; expected {sha256}"
        raise IntegrityError(message, code="source.checksum", where=str(path))
