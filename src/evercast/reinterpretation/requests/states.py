"""The states of a request as files with a history: each names the one before, and may be signed.

``history/0003-accepted.json`` holds the state, when it was reached, why, the run it belongs to, and the sha256 of the
file before it; ``.sig`` beside it is a signature as `ssh-keygen -Y verify -n evercast` checks it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, get_args

from evercast import __version__
from evercast.artifacts.files import atomic_write_bytes, canonical_json, make_folder, read_json, sha256_file
from evercast.errors import IntegrityError, InvalidInput

__all__ = ["State", "StateName", "add_state", "read_history"]

StateName = Literal["draft", "submitted", "accepted", "running", "answered", "refused"]

_NEXT: Final[Mapping[StateName | None, tuple[StateName, ...]]] = {
    None: ("draft",),
    "draft": ("submitted", "refused"),
    "submitted": ("submitted", "accepted", "refused"),
    "accepted": ("running", "refused", "submitted"),
    "running": ("running", "answered", "refused", "submitted"),
    "answered": ("submitted",),
    "refused": ("submitted",),
}
_FILE: Final = re.compile(r"([0-9]{4})-([a-z]{1,20})\.json")
_KEYS: Final = {"schema", "number", "state", "time", "reason", "code", "run", "previous", "evercast"}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state that a request reached.

    Args:
        number: from 1.
        time: UTC, ISO 8601.
        reason: why, for people; of a refusal always.
        code: text code of the error that refused it.
        run: identity of the run; None before it was submitted.
        file: where it is written.
        signer: fingerprint of the key that signed it; None where nobody did.
    """

    number: int
    state: StateName
    time: str
    reason: str | None
    code: str | None
    run: str | None
    file: Path
    signer: str | None


def read_history(folder: Path) -> tuple[State, ...]:
    """Return all states of a request folder, the first one first; each was compared with what the next says of it.

    Raises:
        IntegrityError: ``request.history``: a state was changed, removed or added; ``signature.*``.
    """
    files = sorted(path for path in (folder / "history").glob("*.json") if _FILE.fullmatch(path.name))
    found: list[State] = []
    previous: str | None = None
    for number, path in enumerate(files, start=1):
        state = _read(path, number)
        body = read_json(path)
        if not isinstance(body, dict) or body.get("previous") != previous:
            message = "the state does not follow the one before it: one of the two was changed"
            raise IntegrityError(message, code="request.history", where=str(path))
        if state.state not in _NEXT[found[-1].state if found else None]:
            before = found[-1].state if found else "nothing"
            raise IntegrityError(f"{state.state} after {before}", code="request.history", where=str(path))
        found.append(state)
        previous = sha256_file(path)
    return tuple(found)


def _read(path: Path, number: int) -> State:
    body = read_json(path)
    if not isinstance(body, dict) or set(body) != _KEYS or body["number"] != number:
        message = f"the file is not state number {number} of a request"
        raise IntegrityError(message, code="request.history", where=str(path))
    state = next((name for name in get_args(StateName) if name == body["state"]), None)
    texts = {key: body[key] for key in ("time", "reason", "code", "run")}
    if state is None or not all(value is None or isinstance(value, str) for value in texts.values()):
        raise IntegrityError("the state cannot be read", code="request.history", where=str(path))
    return State(
        number=number, state=state, time=str(texts["time"]), reason=texts["reason"], code=texts["code"],
        run=texts["run"], file=path, signer=_signer(path),
    )  # fmt: skip


def _signer(path: Path) -> str | None:
    signature = path.with_name(f"{path.name}.sig")
    if not signature.is_file():
        return None
    from evercast.artifacts.signatures import check_signature  # noqa: PLC0415 - heavy

    return check_signature(path, signature).fingerprint


def add_state(
    folder: Path,
    state: StateName,
    *,
    reason: str | None = None,
    code: str | None = None,
    run: str | None = None,
    key: Path | None = None,
) -> State:
    """Write the next state of a request and return it.

    Args:
        folder: of the request.
        state: that is reached.
        reason: why.
        code: of the error that refused it.
        run: identity of the run.
        key: private key to sign with; None leaves it unsigned.

    Raises:
        InvalidInput: ``request.state``: this state cannot follow the last one; ``key.*``.
        IntegrityError: the history is damaged.
        EnvironmentUnfit: the disk refuses.
    """
    history = read_history(folder)
    last = history[-1] if history else None
    if state not in _NEXT[last.state if last else None]:
        now = last.state if last else "new"
        allowed = ", ".join(_NEXT[last.state if last else None])
        raise InvalidInput(
            f"a request that is {now} cannot become {state}; it can become {allowed}", code="request.state"
        )
    number = len(history) + 1
    body = {
        "schema": "request-state/1.0.0", "number": number, "state": state,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "reason": reason, "code": code, "run": run,
        "previous": None if last is None else sha256_file(last.file), "evercast": __version__,
    }  # fmt: skip
    path = folder / "history" / f"{number:04d}-{state}.json"
    make_folder(path.parent)
    atomic_write_bytes(path, canonical_json(body) + b"\n")
    if key is not None:
        from evercast.artifacts.signatures import sign_file  # noqa: PLC0415 - heavy

        sign_file(path, key=key, signature=path.with_name(f"{path.name}.sig"))
    return _read(path, number)
