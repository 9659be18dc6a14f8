"""Public files named by URL and sha256: from the cache, from folders of a search path, or from the network.

Whatever the place, the sha256 decides. Nothing here reads the environment: a caller at the border makes a `SearchPath`.
"""

from __future__ import annotations

import http.client
import io
import logging
import os
import re
import secrets
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tqdm import tqdm

from evercast.artifacts.files import disk_errors, flush_to_disk, sha256_file
from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput
from evercast.spec.model import Source

__all__ = ["SearchPath", "available", "content_blocks", "fetch_source", "file_name", "search_path_from_environment"]

_log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 30.0
_BLOCK: Final = 1 << 16
_HINT: Final = (
    "put the file in a folder named by EVERCAST_DATA, allow the network, or run on simulated events with --pseudo-data"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPath:
    """Where public files are looked for.

    Args:
        cache: folder in which fetched files are kept, as ``sha256/<digest>``.
        folders: searched recursively, in order, by file name and then by content.
        network: whether a file may be downloaded.
    """

    cache: Path
    folders: tuple[Path, ...] = ()
    network: bool = True


def search_path_from_environment(environ: Mapping[str, str]) -> SearchPath:
    """Return the search path that the environment variables state.

    ``EVERCAST_CACHE`` is the cache (else ``evercast`` in ``XDG_CACHE_HOME``, else in ``~/.cache``); ``EVERCAST_DATA``
    lists folders; ``EVERCAST_OFFLINE`` set to anything but 0 forbids the network.

    Args:
        environ: usually ``os.environ``.

    Raises:
        EnvironmentUnfit: ``environment.home``, no place for a cache is known.
    """
    folders = tuple(Path(part).expanduser() for part in environ.get("EVERCAST_DATA", "").split(os.pathsep) if part)
    network = environ.get("EVERCAST_OFFLINE", "0") in ("", "0")
    if environ.get("EVERCAST_CACHE"):
        return SearchPath(cache=Path(environ["EVERCAST_CACHE"]), folders=folders, network=network)
    if environ.get("XDG_CACHE_HOME"):
        base = Path(environ["XDG_CACHE_HOME"])
    elif environ.get("HOME"):
        base = Path(environ["HOME"]) / ".cache"
    else:
        raise EnvironmentUnfit("there is no HOME for a cache", code="environment.home", hint="set EVERCAST_CACHE")
    return SearchPath(cache=base / "evercast", folders=folders, network=network)


def file_name(source: Source) -> str:
    """Return the name under which the file of `source` is known.

    Raises:
        InvalidInput: ``source.name``, the URL has none that is safe.
    """
    name = source.filename or urllib.parse.unquote(urllib.parse.urlsplit(source.url).path.rsplit("/", 1)[-1])
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}", name):
        raise InvalidInput(
            f"{name!r} is not a safe file name", code="source.name", where=source.url, hint="give it with 'filename'"
        )
    return name


def available(source: Source, search_path: SearchPath) -> bool:
    """Return whether the file can be had without the network: in the cache or in a folder, the sha256 right.

    Where this is so, `fetch_source` returns it, whatever files of another content lie in the other places.
    """
    cached = _cached(source, search_path)
    places = ([cached] if cached.is_file() else []) + list(_candidates(source, search_path))
    return any(path.stat().st_size == source.size_bytes and sha256_file(path) == source.sha256 for path in places)


def fetch_source(source: Source, search_path: SearchPath) -> Path:
    """Return the path of the file of `source`: from the cache, a folder of the search path, or downloaded.

    A file in the cache that has another content than its name says is put aside, as ``<sha256>.damaged``.

    Raises:
        IntegrityError: ``source.checksum``, a file has another content than stated and the right one is not to be had.
        EnvironmentUnfit: ``source.unavailable``, there is no such file in any place; ``disk.full``, ``disk.read-only``.
        InvalidInput: ``source.url``, not https.
    """
    cached = _cached(source, search_path)
    wrong: list[Path] = []
    if cached.is_file():
        if sha256_file(cached) == source.sha256:
            return cached
        wrong.append(_put_aside(cached))
    for path in _candidates(source, search_path):
        if sha256_file(path) == source.sha256:
            return path
        wrong.append(path)
    try:
        return _download(source, search_path)
    except EnvironmentUnfit as err:
        if wrong and err.code == "source.unavailable":
            _check(source, wrong[0])
        raise


def _cached(source: Source, search_path: SearchPath) -> Path:
    return search_path.cache / "sha256" / source.sha256


def _put_aside(cached: Path) -> Path:
    """Rename a file of the cache with a wrong content, where that can be done, and return where it lies."""
    aside = cached.with_name(f"{cached.name}.damaged")
    try:
        cached.replace(aside)
    except OSError as err:
        _log.warning("%s: the content is not that of its name; it is passed over (not renamed: %s)", cached, err)
        return cached
    _log.warning("%s: the content is not that of its name; it is put aside as %s", cached, aside.name)
    return aside


def _candidates(source: Source, search_path: SearchPath) -> Iterator[Path]:
    name = file_name(source)
    for folder in search_path.folders:
        for place, _, files in sorted(os.walk(folder)):
            if name in files and (path := Path(place) / name).is_file():
                yield path


def _check(source: Source, path: Path) -> None:
    found = sha256_file(path)
    if found != source.sha256:
        raise IntegrityError(
            f"the file has sha256 {found} ({path.stat().st_size} bytes); expected {source.sha256} "
            f"({source.size_bytes} bytes)",
            code="source.checksum",
            where=str(path),
            hint="remove this file, or correct sha256 in the document if the source was meant to change",
        )


def _download(source: Source, search_path: SearchPath) -> Path:
    if urllib.parse.urlsplit(source.url).scheme != "https":
        raise InvalidInput("the URL is not https", code="source.url", where=source.url)
    if not search_path.network:
        raise _unavailable(source, "the network is not allowed")
    target = _cached(source, search_path)
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
        try:
            with temporary.open("xb") as out:
                _stream(source, out)
                out.flush()
                os.fsync(out.fileno())
            _check(source, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        flush_to_disk(target.parent)
    _log.info("fetched %s (%d bytes)", source.url, source.size_bytes)
    return target


def _stream(source: Source, out: io.BufferedWriter) -> None:
    """Copy the content behind the URL to `out`, at most one block more than the size stated."""
    bar = tqdm(
        total=source.size_bytes, unit="B", unit_scale=True, desc=file_name(source), disable=not sys.stderr.isatty()
    )
    with bar:
        total = 0
        for block in content_blocks(source):
            total += len(block)
            if total > source.size_bytes:
                raise IntegrityError(
                    f"the download is larger than the {source.size_bytes} bytes stated",
                    code="source.checksum",
                    where=source.url,
                )
            out.write(block)
            bar.update(len(block))


def content_blocks(source: Source) -> Iterator[bytes]:
    """Yield the content behind the URL of a source, https all the way.

    Raises:
        EnvironmentUnfit: ``source.unavailable``.
    """
    opener = urllib.request.build_opener(_HttpsOnly())
    request = urllib.request.Request(source.url, headers={"User-Agent": "evercast"})  # noqa: S310 - https was checked
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            while block := answer.read(_BLOCK):
                yield block
            if answer.length:
                raise _unavailable(source, f"the connection ended {answer.length} bytes too early")
    except urllib.error.HTTPError as err:
        raise _unavailable(source, f"the server answers {err.code} {err.reason}") from err
    except (OSError, http.client.HTTPException) as err:
        reason = err.reason if isinstance(err, urllib.error.URLError) else err
        raise _unavailable(source, f"it cannot be downloaded: {reason}") from err


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https and to nothing else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: object,
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"the server redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _unavailable(source: Source, reason: str) -> EnvironmentUnfit:
    return EnvironmentUnfit(
        f"{file_name(source)} (sha256 {source.sha256[:12]}...) is neither in the cache nor on the search path, "
        f"and {reason}",
        code="source.unavailable",
        where=source.url,
        hint=_HINT,
    )
