"""How far a request is: its states, what is done of it, and its response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evercast.artifacts.files import read_json
from evercast.errors import EvercastError
from evercast.reinterpretation.requests.frozen import FrozenRequest
from evercast.reinterpretation.requests.kinds import read_frozen_of
from evercast.reinterpretation.requests.states import State, read_history
from evercast.runtime.locks import Holder, is_held, read_holder
from evercast.serve.jobs import Jobs
from evercast.serve.records import Record, read_record
from evercast.serve.units import StageDone, stages_done

__all__ = ["Progress", "Response", "progress_of", "read_response", "responses_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer that can be read.

    Args:
        run: first 12 digits of the identity of the run.
        verdict: in one sentence.
        body: of response.json.
        files: that can be opened.
    """

    run: str
    verdict: str
    body: Mapping[str, Any]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a request is.

    Args:
        state: the last one; ``draft`` where no state is written.
        history: all states, the first one first.
        done, total: points of the last submission; `done` is None where that is not told point by point.
        stages: units that the engine makes for it.
        run: the run of this server that goes on; None where there is none.
        checking: whether its check goes on.
        last: the last run of this server that has ended.
        elsewhere: who else works on the request; None where nobody does.
        damage: why its states or copies cannot be read; None where they can.
    """

    state: str
    history: tuple[State, ...] = ()
    done: int | None = None
    total: int | None = None
    stages: tuple[StageDone, ...] = ()
    run: Record | None = None
    checking: bool = False
    last: Record | None = None
    elsewhere: Holder | None = None
    damage: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether somebody works on it."""
        return self.run is not None or self.elsewhere is not None

    @property
    def mark(self) -> str:
        """What changes when the page of the request has to be drawn anew."""
        return f"{len(self.history)}-{self.state}-{self.is_active}-{self.checking}"


def progress_of(folder: Path, jobs: Jobs) -> Progress:
    """Return how far a request is.

    Args:
        folder: of the request.
        jobs: of this server.
    """
    run = jobs.active(folder, "run")
    last = read_record(folder, "run")
    common: dict[str, Any] = {
        "run": run, "checking": jobs.active(folder, "check") is not None,
        "last": None if run is not None or last is None or last.ended is None else last,
        "elsewhere": _elsewhere(folder, jobs) if run is None else None,
    }  # fmt: skip
    try:
        history = read_history(folder)
    except EvercastError as err:
        return Progress(state="damaged", damage=str(err), **common)
    if not history:
        return Progress(state="draft", **common)
    state = history[-1]
    done = total = damage = None
    if state.run is not None:
        try:
            done, total = _counted(read_frozen_of(folder, state.run))
        except EvercastError as err:
            damage = str(err)
    return Progress(
        state=state.state, history=history, done=done, total=total, damage=damage, stages=stages_done(folder), **common
    )  # fmt: skip


def _counted(frozen: Any) -> tuple[int | None, int]:
    """Return how many points of a submission have a result, and how many there are."""
    if not isinstance(frozen, FrozenRequest):
        return None, len(frozen.points)
    return sum(frozen.result(point.key).is_file() for point in frozen.points), len(frozen.points)


def _elsewhere(folder: Path, jobs: Jobs) -> Holder | None:
    lock = folder / ".lock"
    if jobs.active(folder, "check") is not None or not lock.is_file() or lock.is_symlink() or not is_held(lock):
        return None
    return read_holder(lock) or Holder(pid=0, host="this machine", started="an unknown time")


def responses_of(folder: Path) -> tuple[Response, ...]:
    """Return the responses of a request, the newest first; those that cannot be read are left out."""
    place = folder / "responses"
    if place.is_symlink() or not place.is_dir():
        return ()
    found = [
        one for one in place.iterdir() if one.is_dir() and not one.is_symlink() and (one / "response.json").is_file()
    ]
    found.sort(key=lambda one: (one / "response.json").stat().st_mtime, reverse=True)
    read = (read_response(one) for one in found)
    return tuple(response for response in read if response is not None)


def read_response(place: Path) -> Response | None:
    """Return a response in its folder; None where it cannot be read."""
    try:
        body = read_json(place / "response.json")
    except EvercastError:
        return None
    if not isinstance(body, dict) or not isinstance(body.get("verdict"), str):
        return None
    listed = body.get("files")
    names = [str(name) for name in listed] if isinstance(listed, dict) else []
    files = tuple(dict.fromkeys(("response.html", "response.json", *names)))
    return Response(
        run=place.name, verdict=body["verdict"], body=body,
        files=tuple(name for name in files if (place / name).is_file()),
    )  # fmt: skip
