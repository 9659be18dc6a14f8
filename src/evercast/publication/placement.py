"""Where what was made for a publication gets its final name: part by part, and never over anything."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from evercast.artifacts.files import disk_errors, flush_to_disk, sha256_file
from evercast.errors import InvalidInput

__all__ = ["parts_there", "place_parts", "tree_digests"]

_HINT = "what is published is never changed: give another folder with --output, or sign with the same key as before"


def tree_digests(folder: Path) -> dict[str, str]:
    """Return relative path -> sha256 of every file under a folder; a link counts as what it points to in words."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            name = path.relative_to(folder).as_posix()
            found[name] = f"link to {path.readlink()}" if path.is_symlink() else sha256_file(path)
    return found


def parts_there(target: Path, known: Sequence[str]) -> tuple[str, ...]:
    """Return the parts that a publication has already.

    Args:
        target: folder of the publication; it need not exist.
        known: names of all parts, which are the only entries that it may have.

    Raises:
        InvalidInput: ``publication.exists``: it is no folder, or holds something else.
    """
    if not os.path.lexists(target):
        return ()
    if target.is_symlink() or not target.is_dir():
        message = "something else stands there already, which is no folder"
        raise InvalidInput(message, code="publication.exists", where=str(target), hint=_HINT)
    names = sorted(path.name for path in target.iterdir())
    if other := [name for name in names if name not in known]:
        message = f"something else stands there already: {other[0]!r} is no part of a publication"
        raise InvalidInput(message, code="publication.exists", where=str(target), hint=_HINT)
    return tuple(name for name in known if name in names)


def place_parts(made: Path, target: Path, files: Mapping[str, str], known: Sequence[str]) -> bool:
    """Give what was made its final name; return False where all of it stands there already.

    Every part that is there is compared before anything is added. A part is added whole, by one rename.

    Args:
        made: folder with a folder for each part, on the file system of `target`.
        target: folder of the publication; it need not exist.
        files: path below `made` -> sha256.
        known: names of all parts.

    Raises:
        InvalidInput: ``publication.exists``: a part is there with other content.
        EnvironmentUnfit: the disk refuses.
    """
    there = parts_there(target, known)
    for part in there:
        if (made / part).is_dir():
            _require_same(part, target / part, files)
    missing = [part for part in known if part not in there and (made / part).is_dir()]
    if not missing:
        return False
    with disk_errors(target):
        for path in (*made.rglob("*"), made):
            flush_to_disk(path)
        if os.path.lexists(target):
            for part in missing:
                (made / part).rename(target / part)
            flush_to_disk(target)
        else:
            made.rename(target)
            flush_to_disk(target.parent)
    return True


def _require_same(part: str, folder: Path, files: Mapping[str, str]) -> None:
    made = {name: digest for name, digest in files.items() if name.startswith(f"{part}/")}
    there = {f"{part}/{name}": digest for name, digest in tree_digests(folder).items()}
    different = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    if different or folder.is_symlink() or not folder.is_dir():
        shown = ", ".join(different[:5]) + (", …" if len(different) > 5 else "")
        raise InvalidInput(
            f"the part {part!r} is published there already with other content: {len(different)} files differ ({shown})",
            code="publication.exists",
            where=str(folder),
            hint=_HINT,
        )
