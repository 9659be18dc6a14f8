"""What kind of document a file is, told from its first lines without reading all of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

__all__ = ["kind_of_file"]

_BYTES: Final = 20_000
_KIND: Final = re.compile(rb"^\{?[\"']?schema[\"']?:\s*[\"']?([a-z-]{1,40})/[0-9]", re.MULTILINE)


def kind_of_file(path: Path) -> str | None:
    """Return the kind that a document names under ``schema``; None where it names none, or cannot be read."""
    try:
        with path.open("rb") as stream:
            found = _KIND.search(stream.read(_BYTES))
    except OSError:
        return None
    return None if found is None else found.group(1).decode()
