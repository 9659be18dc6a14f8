"""What became of the last check and the last run of a request, kept beside it so that the next server knows it too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from evercast.artifacts.files import atomic_write_json, make_folder, parse_json, read_json
from evercast.errors import EvercastError, IntegrityError
from evercast.serve.forms import Trouble
from evercast.spec.codec import to_json

__all__ = ["OURS", "JobKind", "Record", "error_of", "folder_of", "read_record", "troubles_of", "write_record"]

JobKind = Literal["check", "run"]
OURS: Final = ".serve"
"""Folder of the server in that of a request."""
_MOST: Final = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A check or a run.

    Args:
        kind: which of the two.
        document: sha256 of the document when it was begun.
        started: UTC, ISO 8601.
        ended: None while it goes on.
        pid: of the process; None while it waits.
        exit_code: None while it goes on, or where it was killed.
        cancelled: whether somebody asked to stop it.
        error: as the command wrote it; None where there was none.
    """

    kind: JobKind
    document: str
    started: str
    ended: str | None = None
    pid: int | None = None
    exit_code: int | None = None
    cancelled: bool = False
    error: Mapping[str, Any] | None = None


def folder_of(folder: Path) -> Path:
    """Return the folder of the server in that of a request, made where it is missing.

    Raises:
        IntegrityError: ``serve.file-link``.
        EnvironmentUnfit: the disk refuses.
    """
    place = folder / OURS
    if place.is_symlink():
        raise IntegrityError("the folder of the server is a link", code="serve.file-link", where=str(place))
    make_folder(place)
    return place


def write_record(folder: Path, record: Record) -> None:
    """Write a record.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    atomic_write_json(folder_of(folder) / f"{record.kind}.json", to_json(record))


def read_record(folder: Path, kind: JobKind) -> Record | None:
    """Return the last record of a kind; None where there is none that can be read."""
    place = folder / OURS / f"{kind}.json"
    if (folder / OURS).is_symlink() or place.is_symlink():
        return None
    try:
        body = read_json(place)
    except EvercastError:
        return None
    if not isinstance(body, dict) or body.get("kind") != kind or not isinstance(body.get("document"), str):
        return None
    error = body.get("error")
    pid, code = body.get("pid"), body.get("exit_code")
    return Record(
        kind=kind, document=body["document"], started=str(body.get("started")),
        ended=None if body.get("ended") is None else str(body["ended"]), pid=pid if isinstance(pid, int) else None,
        exit_code=code if isinstance(code, int) else None, cancelled=body.get("cancelled") is True,
        error=error if isinstance(error, dict) else None,
    )  # fmt: skip


def error_of(output: Path, *, code: int, words: Path) -> Mapping[str, Any] | None:
    """Return the error that a command wrote as JSON; where it wrote none, its last words.

    Args:
        output: of the command.
        code: with which it ended; 0 is no error, 7 gives an answer with points that have no number.
        words: where it wrote its messages.
    """
    try:
        body = parse_json(output.read_bytes()[:_MOST], where=str(output))
    except (EvercastError, OSError):
        body = None
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        error: Mapping[str, Any] = body["error"]
        return error
    if code == 0 or isinstance(body, dict):
        return None
    last = words.read_text(errors="replace")[-2000:].strip() if words.is_file() else ""
    return {"code": "serve.ended", "exit_code": code, "message": f"the command ended with {code}: {last or 'no word'}"}


def troubles_of(error: Mapping[str, Any] | None) -> tuple[Trouble, ...]:
    """Return the problems in an error as they are shown beside the fields."""
    if error is None:
        return ()
    problems = error.get("problems")
    if isinstance(problems, list) and problems:
        return tuple(_trouble(problem) for problem in problems if isinstance(problem, dict))
    text = _sentence(str(error.get("message", "")), error)
    return (Trouble(str(error.get("where") or "$"), text, str(error.get("code", ""))),)


def _trouble(problem: Mapping[str, Any]) -> Trouble:
    return Trouble(
        str(problem.get("path", "$")), _sentence(str(problem.get("message", "")), problem), str(problem.get("code", ""))
    )


def _sentence(message: str, body: Mapping[str, Any]) -> str:
    text = message
    for key, words in (("found", "found"), ("expected", "expected")):
        if body.get(key):
            text += f"; {words} {body[key]}"
    return f"{text} ({body['hint']})" if body.get("hint") else text
