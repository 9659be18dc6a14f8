"""Regular files read out of a tar archive into memory: nothing is extracted, links and odd names are refused."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from evercast.errors import IntegrityError, InvalidInput
from evercast.spec.checks.files import unsafe_reason

__all__ = ["is_tar", "read_members"]

_MAX_ENTRIES: Final = 20_000
_MAX_BYTES: Final = 1 << 30
_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


def is_tar(name: str) -> bool:
    """Return whether a file of this name is read as a tar archive."""
    return name.lower().endswith(_SUFFIXES)


def read_members(path: Path, *, wanted: Collection[str] | None = None) -> dict[str, bytes]:
    """Return member -> content of the regular files of a tar archive.

    Args:
        path: the archive.
        wanted: members whose content is asked for; all of them where None. Every entry is looked at in any case.

    Raises:
        InvalidInput: ``wrap.not-a-tar``.
        IntegrityError: ``wrap.unsafe-tar``: a link, a device, a name that leaves the archive or stands twice; more
            than 20 000 entries or 1 GiB.
    """
    found: dict[str, bytes] = {}
    seen: set[str] = set()
    left = _MAX_BYTES
    try:
        with tarfile.open(path) as archive:
            for number, entry in enumerate(archive):
                if entry.isdir():
                    continue
                name = entry.name.removeprefix("./")
                reason = _reason(entry, name, seen, number=number, left=left)
                if reason is not None:
                    raise IntegrityError(f"{entry.name!a}: {reason}", code="wrap.unsafe-tar", where=str(path))
                left -= entry.size
                seen.add(name)
                if wanted is None or name in wanted:
                    stream = archive.extractfile(entry)
                    found[name] = b"" if stream is None else stream.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as err:
        if isinstance(err, FileNotFoundError):
            raise InvalidInput(f"{path} does not exist", code="wrap.missing") from err
        raise InvalidInput(f"the file is no whole tar archive: {err}", code="wrap.not-a-tar", where=str(path)) from err
    return found


def _reason(entry: tarfile.TarInfo, name: str, seen: Collection[str], *, number: int, left: int) -> str | None:
    reasons = {
        f"more than {_MAX_ENTRIES} entries": number >= _MAX_ENTRIES,
        "it is a link, a device or a pipe": not entry.isfile(),
        unsafe_reason(name) or "": unsafe_reason(name) is not None,
        "the name stands twice": name in seen,
        f"the content is larger than {_MAX_BYTES} bytes": entry.size > left,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)
