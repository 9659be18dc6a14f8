"""Which file an input of a stage stands for: the file itself, or the product in the folder of the unit that made it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from evercast.errors import InvalidInput

__all__ = ["input_file", "parts_of"]

_EVENTS: Final = "events.parquet"
_OWN: Final = frozenset({"receipt.json", "summary.json"})


def input_file(path: Path) -> Path:
    """Return the file that `path` stands for.

    A file stands for itself, so does a zarr folder; the folder of a unit stands for its ``events.parquet`` or for its
    only file.

    Raises:
        InvalidInput: ``sample.missing``, nothing is there, or several files and none is ``events.parquet``.
    """
    if not path.is_dir() or (path / "zarr.json").is_file():
        return path
    if (path / _EVENTS).is_file():
        return path / _EVENTS
    files = sorted(entry for entry in path.iterdir() if entry.name not in _OWN and not entry.name.startswith("."))
    if len(files) != 1:
        found = ", ".join(entry.name for entry in files) or "nothing"
        raise InvalidInput(f"one file is expected in the folder; found {found}", code="sample.missing", where=str(path))
    return files[0]


def parts_of(inputs: Mapping[str, Path], name: str) -> tuple[Path, ...]:
    """Return the paths of the input `name`: one, or its parts ``name_0``, ``name_1``... in order.

    Raises:
        InvalidInput: ``sample.missing``, there is no such input.
    """
    if name in inputs:
        return (inputs[name],)
    parts = {
        int(match[1]): key for key in inputs if (match := re.fullmatch(re.escape(name) + r"_(?:part_)?(\d+)", key))
    }
    if not parts:
        raise InvalidInput(f"the stage was not given the input {name!r}", code="sample.missing")
    return tuple(inputs[parts[number]] for number in sorted(parts))
