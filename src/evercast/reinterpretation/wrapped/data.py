"""The files of a wrapped analysis: found by digest, read, and every JSON document in them checked against its own."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evercast.artifacts.files import sha256_file
from evercast.errors import EnvironmentUnfit, EvercastError, IntegrityError
from evercast.events.sources import SearchPath, fetch_source
from evercast.likelihood.histfactory import patch_of_set
from evercast.reinterpretation.wrapped.json_text import parse_json
from evercast.reinterpretation.wrapped.model import DataFile, Place, Regions, WrappedAnalysis
from evercast.reinterpretation.wrapped.tar_members import read_members
from evercast.spec.model import Source

__all__ = ["RecordData", "json_digest", "locate"]


def json_digest(value: object) -> str:
    """Return the digest of a JSON value: sha256 of its text with sorted keys, as pyhf computes it for a workspace.

    Example:
        >>> json_digest({"b": 1, "a": [2.0]})[:12]
        '02d49f1f5b0e'
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def locate(file: DataFile, *, folder: Path | None, search_path: SearchPath) -> Path:
    """Return where a file of the record lies: beside the document, in the cache, on the search path, or downloaded.

    Raises:
        IntegrityError: the file beside the document, or the one found, has another content.
        EnvironmentUnfit: ``source.unavailable``.
    """
    if file.path is not None and folder is not None and (folder / file.path).is_file():
        place = folder / file.path
        found = sha256_file(place)
        if found != file.sha256:
            message = f"the file has sha256 {found}; the document names {file.sha256}"
            raise IntegrityError(message, code="wrapped.checksum", where=str(place))
        return place
    url = file.url or f"https://doi.org/{file.doi or 'unknown'}"
    source = Source(url=url, sha256=file.sha256, size_bytes=file.size_bytes, license="", filename=file.filename)
    if file.url is not None:
        return fetch_source(source, search_path)
    offline = SearchPath(cache=search_path.cache, folders=search_path.folders, network=False)
    try:
        return fetch_source(source, offline)
    except EnvironmentUnfit as err:
        raise EnvironmentUnfit(
            f"{file.filename} (sha256 {file.sha256[:12]}...) is neither in the cache nor on the search path",
            code="source.unavailable", where=f"doi:{file.doi}" if file.doi else None,
            hint="get the record by its DOI and put the file into a folder named by EVERCAST_DATA",
        ) from err  # fmt: skip


@dataclass(kw_only=True, eq=False)
class RecordData:
    """The JSON documents of a wrapped analysis, each read once.

    Args:
        analysis: whose files.
        folder: of its document; None where it has none.
        search_path: where else files are looked for.
    """

    analysis: WrappedAnalysis
    folder: Path | None
    search_path: SearchPath
    _tars: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    _parsed: dict[tuple[str, str | None], object] = field(default_factory=dict)

    def background(self, regions: Regions) -> Mapping[str, object]:
        """Return the workspace without signal.

        Raises:
            IntegrityError: ``wrapped.digest``: it is not the one the document names.
            EnvironmentUnfit: its file is not to be had.
        """
        found = self.document(regions.background)
        if not isinstance(found, dict):
            message = f"the background is {type(found).__name__}, not an object"
            raise IntegrityError(message, code="wrapped.digest", where=_shown(regions.background))
        return found

    def patch(self, place: Place) -> Sequence[object]:
        """Return the JSON patch of a signal point.

        Raises:
            IntegrityError: ``wrapped.digest``.
            EnvironmentUnfit: its file is not to be had.
        """
        found = self.document(place)
        if not isinstance(found, list):
            message = f"a JSON patch must be a list, found {type(found).__name__}"
            raise IntegrityError(message, code="wrapped.digest", where=_shown(place))
        return found

    def document(self, place: Place) -> object:
        """Return a JSON document of the record, its digest checked.

        Raises:
            IntegrityError: ``wrapped.digest`` or ``wrapped.member``.
        """
        found = self._parse(place.file, place.member)
        if place.patch is not None:
            if not isinstance(found, dict):
                raise IntegrityError("the file is no patchset", code="wrapped.member", where=_shown(place))
            found = patch_of_set(found, place.patch)
        digest = json_digest(found)
        if digest != place.sha256:
            message = f"the content has the digest {digest}; the document names {place.sha256}"
            raise IntegrityError(message, code="wrapped.digest", where=_shown(place))
        return found

    def problems(self) -> list[EvercastError]:
        """Return what is wrong with the files, each background and each patch; empty where all is as it must be."""
        found: list[EvercastError] = []
        for place in self._places():
            try:
                self.document(place)
            except EvercastError as err:
                found.append(err)
        return found

    def _places(self) -> Iterable[Place]:
        for regions in self.analysis.likelihoods.values():
            yield regions.background
            yield from regions.patches.values()

    def _parse(self, file: str, member: str | None) -> object:
        key = (file, member)
        if key not in self._parsed:
            path = locate(self.analysis.files[file], folder=self.folder, search_path=self.search_path)
            where = f"{path.name}{os.sep}{member}" if member else path.name
            self._parsed[key] = parse_json(self._content(file, path, member), where=where)
        return self._parsed[key]

    def _content(self, file: str, path: Path, member: str | None) -> bytes:
        if member is None:
            return path.read_bytes()
        if file not in self._tars:
            wanted = {place.member for place in self._places() if place.file == file and place.member is not None}
            self._tars[file] = read_members(path, wanted=wanted)
        if member not in self._tars[file]:
            raise IntegrityError(f"there is no {member} in it", code="wrapped.member", where=path.name)
        return self._tars[file][member]


def _shown(place: Place) -> str:
    return "/".join(part for part in (place.file, place.member, place.patch) if part)
