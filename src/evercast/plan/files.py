"""Files beside the document: their content enters the plan as a digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from evercast.errors import InvalidInput

__all__ = ["local_digest"]


def local_digest(path: str, *, folder: Path, declared: str | None = None) -> str:
    """Return the sha256 of a file beside the document; of a folder (zarr) that of the names and digests in it.

    A digest that the document declares is taken as it is, so that a plan does not read large files; the stage that uses
    the file compares.

    Args:
        path: relative to `folder`.
        folder: the folder of the document.
        declared: sha256 from the document.

    Raises:
        InvalidInput: ``plan.file-missing`` or ``plan.file-unreadable``.
    """
    if declared is not None:
        return declared
    try:
        return _content_digest(folder / path)
    except FileNotFoundError as err:
        raise InvalidInput(
            f"the file {path} is not beside the document",
            code="plan.file-missing",
            where=str(folder / path),
            hint="put it there or correct the path in the document",
        ) from err
    except OSError as err:
        raise InvalidInput(
            f"the file {path} cannot be read: {err.strerror}", code="plan.file-unreadable", where=str(folder / path)
        ) from err


def _content_digest(path: Path) -> str:
    if path.is_dir():
        inside = sorted(item for item in path.rglob("*") if item.is_file())
        lines = (f"{_content_digest(item)}  {item.relative_to(path).as_posix()}\n" for item in inside)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
