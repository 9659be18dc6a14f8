"""What the commands of requests share: options, the analysis that is asked, progress, and what is printed."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evercast.errors import NumericalFailure

if TYPE_CHECKING:
    from evercast.reinterpretation.requests.frozen import FrozenPoint, FrozenRequest
    from evercast.reinterpretation.requests.kinds import Preserved
    from evercast.reinterpretation.requests.run import Outcome
    from evercast.runtime.plans import FrozenPlan
    from evercast.runtime.run import Observer

__all__ = [
    "CORES", "FOLDER", "JSON", "KEY", "PROFILE", "analysis_of", "announce_reading", "answer_and_show",
    "opened_analysis", "show_status",
]  # fmt: skip

CORES = click.option(
    "--cores", type=click.IntRange(1),
    help="Cores of this machine: points and jobs at a time. [default: the cores that this process may use]",
)  # fmt: skip
PROFILE = click.option(
    "--profile", default="default", show_default=True,
    help="Where events are made and selected, and networks trained: a profile's name or folder.",
)  # fmt: skip
KEY = click.option(
    "--sign", "key", type=click.Path(path_type=Path), envvar="EVERCAST_SIGNING_KEY",
    help="Private ed25519 key (PEM) that signs the states; the file in $EVERCAST_SIGNING_KEY by default, else nobody.",
)  # fmt: skip


def _folder(_context: click.Context, _parameter: click.Parameter, named: Path) -> Path:
    """Return the folder of a request that was named by its document."""
    return named.parent if named.name == "request.yaml" and named.is_file() else named


FOLDER = click.argument("folder", type=click.Path(path_type=Path), callback=_folder)
_LARGE = 20_000_000
"""Size of the files of events, byte, from which it is said that they are read."""
JSON = click.option("--json", "as_json", is_flag=True, help="The outcome as JSON on stdout.")


def opened_analysis(name: str, *, digest: str | None = None) -> Preserved:
    """Return the analysis of a name, digest or path; the digest that a request names decides between several.

    Raises:
        InvalidInput: there is none, or several.
        IntegrityError: it is an archive that is not what it must be.
    """
    from evercast.events.sources import search_path_from_environment
    from evercast.reinterpretation.requests.catalogue import catalogue_file, read_catalogue
    from evercast.reinterpretation.requests.kinds import open_preserved

    search_path = search_path_from_environment(os.environ)
    catalogue = read_catalogue(catalogue_file(os.environ), cache=search_path.cache)
    return open_preserved(name, catalogue, search_path, digest=digest)


def analysis_of(folder: Path, named: str | None) -> Preserved:
    """Return the analysis that the request in a folder names, or the one that the user names for it.

    Raises:
        InvalidDocument: the request is not valid.
        InvalidInput: ``request.analysis``: the one named has another name than the request asks for.
        IntegrityError: it is an archive that is not what it must be.
    """
    from evercast.errors import InvalidInput
    from evercast.reinterpretation.requests.read import read_request
    from evercast.reinterpretation.requests.run import REQUEST_FILE
    from evercast.reinterpretation.wrapped.data import RecordData

    wanted = read_request(folder / REQUEST_FILE).analysis
    if named is None:
        return opened_analysis(wanted.name, digest=wanted.digest)
    found = opened_analysis(named)
    name = found.analysis.name if isinstance(found, RecordData) else found.version.record.name
    if name != wanted.name:
        message = f"the request asks {wanted.name}; the analysis that is named for it is {name}"
        raise InvalidInput(message, code="request.analysis", where=str(folder))
    return found


def announce_reading(folder: Path, *, as_json: bool) -> None:
    """Say on stderr that large files of events are read, which takes a while.

    Raises:
        InvalidDocument: the request is not valid.
    """
    from evercast.reinterpretation.requests.read import read_request
    from evercast.reinterpretation.requests.run import REQUEST_FILE

    points = read_request(folder / REQUEST_FILE).signal.points.values()
    files = [file for point in points if point.events is not None for file in point.events.files]
    size = sum(file.size_bytes for file in files)
    if size > _LARGE and not as_json:
        noun = "file" if len(files) == 1 else "files"
        click.echo(f"reading {len(files)} {noun} of events, {size / 1e6:.0f} MB", err=True)


def answer_and_show(
    folder: Path, *, cores: int | None, key: Path | None, as_json: bool, profile: str = "default"
) -> int:  # fmt: skip
    """Answer a submitted request with a progress bar, print the answer, and return the exit code.

    Raises:
        EvercastError: it cannot be answered.
    """
    from evercast.reinterpretation.requests.run import answer_request

    progress = _Progress(quiet=as_json)
    with progress:
        outcome = answer_request(
            folder, cores=cores or len(os.sched_getaffinity(0)), observe=progress.point, begin=progress.begin,
            profile=profile, watch=progress.run, key=key,
        )  # fmt: skip
    _show(outcome, as_json=as_json)
    return NumericalFailure.exit_code if outcome.failed else 0


class _Progress(AbstractContextManager["_Progress"]):
    """A bar on a terminal, a line at the end elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = nullcontext()
        self._step: Callable[[], object] = lambda: None

    def run(self, frozen: FrozenPlan) -> Observer:
        """Return what is told how a run of selections goes on: bars on a terminal, lines elsewhere."""
        from evercast.cli.progress import observer_of

        self._close()

        def say(text: str) -> None:
            if not self._quiet:
                click.echo(text, err=True)

        return observer_of(frozen, say=say, quiet=self._quiet)

    def begin(self, frozen: FrozenRequest) -> None:
        """Begin with the points of a request; said again where what they need is finished."""
        from tqdm import tqdm

        self._close()
        hidden = self._quiet or not sys.stderr.isatty()
        self._bar = tqdm(total=len(frozen.points), unit="point", desc=frozen.request["name"], disable=hidden)
        self._step = self._bar.update

    def point(self, point: FrozenPoint) -> None:  # noqa: ARG002 - one as the other
        """Count a point that has a result."""
        self._step()

    def __exit__(self, *unused: object) -> None:
        self._close()

    def _close(self) -> None:
        close = getattr(self._bar, "close", None)
        if close is not None:
            close()


def _show(outcome: Outcome, *, as_json: bool) -> None:
    body = outcome.body
    if as_json:
        told = {
            "verdict": body["verdict"], "counts": body["counts"], "run": outcome.run, "computed": outcome.computed,
            "contradictions": body["consistency"]["contradictions"], "response": str(outcome.response),
        }  # fmt: skip
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
        return
    click.echo(body["verdict"])
    for sentence in body["consistency"]["contradictions"]:
        click.echo(f"note: {sentence}")
    total = body["counts"]["points"]
    click.echo(computed_line(outcome.computed, total))
    click.echo(str(outcome.response / "response.html"))


def computed_line(computed: int, total: int) -> str:
    """Say how many points were computed now, and that others were there only where there were others."""
    others = "" if computed == total else f", {total - computed} were there already"
    return f"computed {computed} of {total} points{others}"


def show_status(folder: Path, *, as_json: bool) -> None:
    """Print the history of a request.

    Raises:
        InvalidInput: ``request.no-folder``.
        IntegrityError: the history was changed.
    """
    from evercast.errors import InvalidInput
    from evercast.reinterpretation.requests.frozen import FrozenRequest
    from evercast.reinterpretation.requests.kinds import read_frozen_of
    from evercast.reinterpretation.requests.points import has_result
    from evercast.reinterpretation.requests.states import read_history

    history = read_history(folder)
    if not history:
        raise InvalidInput("there is no request in it", code="request.no-folder", where=str(folder))
    last = history[-1]
    frozen = read_frozen_of(folder, last.run) if last.run else None
    done = sum(has_result(frozen, point) for point in frozen.points) if isinstance(frozen, FrozenRequest) else None
    response = frozen.response if frozen is not None and (frozen.response / "response.json").is_file() else None
    if as_json:
        body = {
            "state": last.state, "reason": last.reason, "run": last.run,
            "points": None if frozen is None else len(frozen.points), "done": done,
            "response": None if response is None else str(response),
            "history": [
                {"state": state.state, "time": state.time, "reason": state.reason, "signed_by": state.signer}
                for state in history
            ],
        }  # fmt: skip
        click.echo(json.dumps(body, indent=1))
        return
    for state in history:
        signed = f"  signed by {state.signer}" if state.signer else ""
        why = f"  {state.reason}" if state.reason else ""
        click.echo(f"{state.time}  {state.state:<9}  {(state.run or '')[:12]:<12}{signed}{why}".rstrip())
    if frozen is not None and done is not None:
        click.echo(f"{done} of {len(frozen.points)} points have a result")
    if response is not None:
        click.echo(str(response / "response.html"))
