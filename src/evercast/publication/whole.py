"""A whole publication, or a HEPData submission, is not verified as one: what to name instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evercast.errors import InvalidInput

__all__ = ["refuse_whole"]


def refuse_whole(path: Path) -> None:
    """Say which folders to name where a path is a publication, a folder of bundles, or a HEPData submission.

    Raises:
        InvalidInput: ``verify.whole``.
    """
    if _is_submission(path):
        what = "this is a submission to HEPData, which repeats what is published; it is verified where that lies"
        here = path.absolute()
        root = next((above.parent for above in (here, *here.parents[:2]) if above.name == "hepdata"), None)
        parts = [] if root is None else list(_parts(root))
        fallback = "name the folder of the bundle or archive that was published with it"
    elif path.is_dir() and (found := list(_parts(path))):
        what, parts, fallback = "this holds several publications; they are verified one by one", found, ""
    else:
        return
    hint = "; ".join(f"evercast verify {part}" for part in parts) or fallback
    raise InvalidInput(what, code="verify.whole", where=str(path), hint=hint)


def _is_submission(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for name in ("submission.yaml", "submission.tar.gz"))
    return path.name == "submission.tar.gz"


def _parts(root: Path) -> Iterator[Path]:
    """Yield what can be verified in a publication, or in the folder of one of its parts."""
    for folder in (root / "bundles", root):
        yield from sorted(entry.parent for entry in folder.glob("*/manifest.json") if entry.is_file())
    for folder in (root / "pyhf", root):
        yield from sorted(entry for entry in folder.glob("*/workspace.json") if _alone(entry))
    if (root / "archive").is_dir():
        yield root / "archive"


def _alone(workspace: Path) -> bool:
    return workspace.is_file() and not (workspace.parent / "manifest.json").is_file()
