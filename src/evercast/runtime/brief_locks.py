"""Locks for the moment in which a file is read, changed and written again; nothing of them stays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from evercast.runtime.locks import acquire

__all__ = ["changing"]

_PATIENCE_SECONDS: Final = 30.0


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep all other processes from changing a file in the block.

    A hidden file beside it is locked meanwhile and removed at the end; who waited for it takes the next one.

    Raises:
        EnvironmentUnfit: ``file.locked``: somebody has been changing it for half a minute; or the disk refuses.
    """
    lock, end = path.with_name(f".{path.name}.lock"), time.monotonic() + _PATIENCE_SECONDS
    while True:
        left = max(end - time.monotonic(), 0.0)
        handle = acquire(lock, code="file.locked", what=f"the file {path}", patience=left)
        if _is_there(lock, handle):
            break
        os.close(handle)  # its holder has removed it meanwhile: it keeps nobody away any more
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _is_there(lock: Path, handle: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(lock.stat(), os.fstat(handle))
    return False
