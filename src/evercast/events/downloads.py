"""Public files named by URL alone: brought into the cache under the digest that they turn out to have."""

from __future__ import annotations

import hashlib
import os
import secrets
import urllib.parse
from pathlib import Path
from typing import Final

from evercast.artifacts.files import disk_errors, sha256_file
from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput
from evercast.events.sources import SearchPath, content_blocks
from evercast.spec.model import Source

__all__ = ["fetch_url"]

_LARGEST: Final = 1 << 34
"""Bytes of a download whose size nobody stated."""


def fetch_url(url: str, search_path: SearchPath, *, sha256: str | None = None, largest: int = _LARGEST) -> Path:
    """Return the path of the file behind a URL, in the cache.

    With a digest a file that is there is not fetched again. Without one it is fetched each time: what lies behind a
    URL may change.

    Args:
        url: https only.
        search_path: cache, and whether the network is allowed.
        sha256: what its content must be.
        largest: bytes after which a download is given up.

    Raises:
        IntegrityError: ``source.checksum``; ``source.too-large``.
        EnvironmentUnfit: ``source.unavailable``; ``disk.full``, ``disk.read-only``.
        InvalidInput: ``source.url``, not https; ``source.digest``, no sha256.
    """
    if sha256 is not None and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
        raise InvalidInput(f"{sha256!r} is not a sha256: 64 lower-case hexadecimal digits", code="source.digest")
    cached = search_path.cache / "sha256" / (sha256 or "")
    if sha256 is not None and cached.is_file() and sha256_file(cached) == sha256:
        return cached
    if urllib.parse.urlsplit(url).scheme != "https":
        raise InvalidInput("the URL is not https", code="source.url", where=url)
    if not search_path.network:
        raise EnvironmentUnfit(
            "the file is not in the cache, and the network is not allowed",
            code="source.unavailable",
            where=url,
            hint="allow the network (EVERCAST_OFFLINE=0), or download it and give its path",
        )
    return _download(url, search_path.cache / "sha256", sha256, largest)


def _download(url: str, folder: Path, sha256: str | None, largest: int) -> Path:
    digest, size = hashlib.sha256(), 0
    source = Source(url=url, sha256=sha256 or "", size_bytes=largest, license="", filename="download")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".download.{secrets.token_hex(6)}.tmp"
        try:
            with temporary.open("xb") as out:
                for block in content_blocks(source):
                    size += len(block)
                    if size > largest:
                        message = f"the download is larger than {largest} bytes"
                        raise IntegrityError(message, code="source.too-large", where=url)
                    digest.update(block)
                    out.write(block)
                out.flush()
                os.fsync(out.fileno())
            found = digest.hexdigest()
            if sha256 is not None and found != sha256:
                message = f"the download has sha256 {found}; expected {sha256}"
                raise IntegrityError(message, code="source.checksum", where=url)
            return temporary.replace(folder / found)
        finally:
            temporary.unlink(missing_ok=True)
