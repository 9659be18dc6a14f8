"""A request from its draft to its answer: submitted, accepted, run, answered, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evercast.artifacts.files import atomic_write_bytes, make_folder, read_json
from evercast.errors import EvercastError, IntegrityError, InvalidInput
from evercast.reinterpretation.requests.forget import remove_results
from evercast.reinterpretation.requests.frozen import FrozenPoint, FrozenRequest, freeze
from evercast.reinterpretation.requests.kinds import Preserved, neural, read_frozen_of, refuse_neural_form
from evercast.reinterpretation.requests.read import read_request
from evercast.reinterpretation.requests.resolve import Resolved, resolve
from evercast.reinterpretation.requests.states import State, add_state, read_history
from evercast.reinterpretation.wrapped.data import RecordData
from evercast.runtime.locks import locked

if TYPE_CHECKING:
    from evercast.reinterpretation.requests.derived import Watch

__all__ = [
    "REQUEST_FILE", "Outcome", "answer_request", "check_request", "forget_results", "new_request", "refuse_request",
    "submit_request",
]  # fmt: skip

REQUEST_FILE: Final = "request.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An answered request.

    Args:
        response: folder of the response.
        body: of response.json.
        run: identity of the run.
        computed: how many points this call computed.
    """

    response: Path
    body: dict[str, Any]
    run: str
    computed: int

    @property
    def failed(self) -> int:
        """How many points have no number."""
        return int(self.body["counts"]["failed"])


def new_request(folder: Path, text: str, *, key: Path | None = None) -> Path:
    """Make the folder of a request with a draft in it, and return the document.

    Raises:
        InvalidInput: ``request.exists``: there is one already.
        EnvironmentUnfit: the disk refuses.
    """
    document = folder / REQUEST_FILE
    if document.exists() or (folder / "history").exists():
        raise InvalidInput("there is a request already", code="request.exists", where=str(document))
    make_folder(folder)
    atomic_write_bytes(document, text.encode())
    add_state(folder, "draft", key=key)
    return document


def check_request(folder: Path, data: Preserved) -> Any:
    """Return a request that its analysis can answer; nothing is written.

    Returns:
        `Resolved` for a published likelihood, what ``neural.check_neural`` returns for an archive.

    Raises:
        EvercastError: why it cannot, with the exit code of the reason.
    """
    return _checked(folder, data, remember=False)


def _checked(folder: Path, data: Preserved, *, remember: bool) -> Any:
    request = read_request(folder / REQUEST_FILE)
    if isinstance(data, RecordData):
        refuse_neural_form(request)
        return resolve(request, data, folder=folder, remember=remember)
    return neural().check_neural(request, data, folder=folder)


def submit_request(folder: Path, data: Preserved, *, key: Path | None = None) -> Any:
    """Freeze a request; what is edited afterwards belongs to the next submission.

    The same request submitted twice is the same run, and its state stays as it is.

    Raises:
        EvercastError: as `check_request`.
    """
    with _held(folder):
        resolved = _checked(folder, data, remember=True)
        write = freeze if isinstance(resolved, Resolved) else neural().freeze_neural
        frozen = write(resolved, root=folder, document=folder / REQUEST_FILE)
        history = read_history(folder) or (add_state(folder, "draft", key=key),)
        if history[-1].run != frozen.run or history[-1].state == "refused":
            add_state(folder, "submitted", run=frozen.run, key=key)
        return frozen


def refuse_request(folder: Path, reason: str, *, key: Path | None = None) -> State:
    """Refuse a submitted request with a reason.

    Raises:
        InvalidInput: ``request.state``: it is not submitted.
    """
    with _held(folder):
        last = _submitted(folder)
        return add_state(folder, "refused", reason=reason, code="request.declined", run=last.run, key=key)


def forget_results(folder: Path) -> None:
    """Remove what was computed of a submitted request; its copies stay, and all is computed again when it is answered.

    Raises:
        InvalidInput: ``request.state``: it is not submitted.
        EnvironmentUnfit: the disk refuses.
    """
    with _held(folder):
        remove_results(folder, _submitted(folder).run or "")


def answer_request(
    folder: Path,
    *,
    cores: int,
    observe: Callable[[FrozenPoint], None],
    begin: Callable[[Any], None] | None = None,
    profile: str = "default",
    watch: Watch | None = None,
    key: Path | None = None,
) -> Outcome:
    """Answer a submitted request; one that is answered already is not computed again.

    Args:
        folder: of the request.
        cores: batches of points at a time.
        observe: told of every point that has a result.
        begin: told what is run, before anything is, and again when its events are selected; not where nothing is run.
        profile: with which events are made and selected, and networks trained; points run here.
        watch: makes what is told how such a run goes on.
        key: private key that signs the states.

    Raises:
        InvalidInput: ``request.state``: it is not submitted.
        IntegrityError: its copies were changed.
        EvercastError: the first error of a job. The request stays ``running`` and can be run again, but where its
            content is wrong (exit codes 3 and 5) it is refused.
    """
    with _held(folder):
        last = _submitted(folder)
        run = last.run or ""
        frozen = _frozen(folder, run, key)
        if last.state == "answered" and (done := _answered(frozen)) is not None:
            return done
        if begin is not None:
            begin(frozen)
        if last.state == "submitted":
            add_state(folder, "accepted", run=run, key=key)
        if last.state in {"submitted", "accepted"}:
            add_state(folder, "running", run=run, key=key)
        try:
            response, computed = _respond(
                frozen, cores=cores, profile=profile, observe=observe, begin=begin, watch=watch
            )
        except (InvalidInput, IntegrityError) as err:
            if last.state != "answered":
                add_state(folder, "refused", reason=str(err), code=err.code, run=run, key=key)
            raise
        if last.state != "answered":
            add_state(folder, "answered", run=run, key=key)
        body = read_json(response / "response.json")
        assert isinstance(body, dict)  # noqa: S101 - it was just written
        return Outcome(response=response, body=body, run=run, computed=computed)


def _respond(
    frozen: Any,
    *,
    cores: int,
    profile: str,
    observe: Callable[[FrozenPoint], None],
    begin: Callable[[Any], None] | None,
    watch: Watch | None,
) -> tuple[Path, int]:
    """Compute what is missing, write the response, and return its folder and how many points were computed."""
    # what computes and draws is heavy; a request is made, checked and submitted without it
    if not isinstance(frozen, FrozenRequest):
        answers = neural().answer_neural(frozen, cores=cores, profile=profile, observer=watch)
        return Path(neural("response").write_neural_response(frozen, answers)), int(answers.computed)
    from evercast.reinterpretation.requests.answers import gather  # noqa: PLC0415
    from evercast.reinterpretation.requests.engine import compute_missing  # noqa: PLC0415
    from evercast.reinterpretation.requests.response import write_response  # noqa: PLC0415

    if any(point.is_waiting for point in frozen.points):
        from evercast.reinterpretation.requests.completing import complete  # noqa: PLC0415

        frozen = complete(frozen, cores=cores, profile=profile, watch=watch)
        if begin is not None:
            begin(frozen)
    computed = compute_missing(frozen, cores=cores, observe=observe)
    return write_response(frozen, gather(frozen), computed={point.key for point in computed}), len(computed)


def _frozen(folder: Path, run: str, key: Path | None) -> Any:
    """Return the copies of a submitted request; where they were changed the request is refused."""
    try:
        return read_frozen_of(folder, run)
    except IntegrityError as err:
        if read_history(folder)[-1].state != "answered":
            add_state(folder, "refused", reason=str(err), code=err.code, run=run, key=key)
        raise


def _answered(frozen: Any) -> Outcome | None:
    """Return the response that is there; None where it was removed."""
    place = frozen.response / "response.json"
    try:
        body = read_json(place)
    except EvercastError:
        return None
    if not isinstance(body, dict) or body.get("request", {}).get("run") != frozen.run:
        return None
    return Outcome(response=frozen.response, body=body, run=frozen.run, computed=0)


def _submitted(folder: Path) -> State:
    history = read_history(folder)
    if not history or history[-1].state in {"draft", "refused"}:
        now = history[-1].state if history else "no request"
        hint = "evercast request run FOLDER submits it and answers it"
        raise InvalidInput(f"the request is not submitted: {now}", code="request.state", where=str(folder), hint=hint)
    return history[-1]


def _held(folder: Path) -> AbstractContextManager[int]:
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is no folder", code="request.no-folder", hint="evercast request new FOLDER")
    return locked(folder / ".lock", code="request.locked", what=f"the request {folder}")
