"""Event files of a request read in a process of their own, so that what crashes or grows is that process."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from evercast import __version__
from evercast.artifacts.files import atomic_write_json, canonical_json, make_folder, read_json
from evercast.errors import EvercastError, IntegrityError, InvalidInput, error_from_json
from evercast.reinterpretation.requests.event_scan import ScannedFile
from evercast.reinterpretation.requests.model import EventSample
from evercast.reinterpretation.requests.side_files import Stamp, check_side_file, stamp_of
from evercast.spec.codec import from_json, to_json

__all__ = ["read_events"]

_READ: Final = Path("work") / "read"


def read_events(
    folder: Path, sample: EventSample, *, wanted: Sequence[str], remember: bool = False
) -> tuple[ScannedFile, ...]:
    """Return what the files of a sample hold, after size and digest of each were compared.

    A sample of the same digests that was read for a submission of this folder is not read again.

    Args:
        folder: of the request.
        sample: as it is stated there.
        wanted: columns and collections that the selection reads.
        remember: whether what was read is written down; else nothing is written.

    Raises:
        IntegrityError: ``request.file-*``: a link, another size or digest, or a file that changes while it is read.
        InvalidInput: what is wrong with a file; ``request.parser`` where the reader died of it.
    """
    places = [check_side_file(folder, file) for file in sample.files]
    known = folder / _READ / f"{_key(sample, wanted)}.json"
    if (found := _remembered(known)) is not None:
        return found
    before = [stamp_of(place) for place in places]
    answer = _asked(
        {
            "weight": sample.weight, "wanted": list(wanted),
            "files": [
                {"path": str(place), "stated": to_json(file)} for place, file in zip(places, sample.files, strict=True)
            ],
        }
    )  # fmt: skip
    _check_unchanged(folder, sample, before, places)
    if "files" not in answer:
        file = sample.files[int(answer["file"])]
        if answer["error"] is None:
            raise InvalidInput("the file needs more memory than is given to it", code="request.parser", where=file.path)
        err = error_from_json(answer["error"])
        err.where = file.path
        raise err
    if remember:
        make_folder(known.parent)
        atomic_write_json(known, {"files": answer["files"]})
    return tuple(from_json(ScannedFile, entry) for entry in answer["files"])


def _key(sample: EventSample, wanted: Sequence[str]) -> str:
    files = [to_json(file) for file in sample.files]
    body = {"kind": "read/1.0.0", "files": files, "weight": sample.weight, "wanted": list(wanted), "by": __version__}
    return hashlib.sha256(canonical_json(body)).hexdigest()


def _remembered(path: Path) -> tuple[ScannedFile, ...] | None:
    """Return what was read of the same files; None where nothing was, or it cannot be read."""
    try:
        body = read_json(path)
        files = body["files"] if isinstance(body, dict) else None
        return tuple(from_json(ScannedFile, entry) for entry in files) if isinstance(files, list) else None
    except (EvercastError, KeyError):
        return None


def _check_unchanged(folder: Path, sample: EventSample, before: Sequence[Stamp], places: Sequence[Path]) -> None:
    for file, stamp, place in zip(sample.files, before, places, strict=True):
        if not place.exists() or stamp_of(place) != stamp:
            message = "the file changed while it was read"
            raise IntegrityError(message, code="request.file-changed", where=f"{folder.name}/{file.path}")


def _asked(task: dict[str, Any]) -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, "-m", "evercast.reinterpretation.requests.event_worker"],
        input=json.dumps(task).encode(), capture_output=True, check=False,
    )  # fmt: skip
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise InvalidInput(f"the process that reads the files was ended ({name})", code="request.parser")
    if process.returncode != 0:
        last = process.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise EvercastError(f"the process that reads the files failed: {last[0][:300]}")
    body = json.loads(process.stdout)
    assert isinstance(body, dict)  # noqa: S101 - it is ours
    return body
