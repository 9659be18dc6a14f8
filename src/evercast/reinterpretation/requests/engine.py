"""A grid of points as one Snakemake run: points that have a result stay as they are, the others go in batches."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_json, make_folder, read_json
from evercast.errors import EvercastError, IntegrityError, RunFailed, error_from_json
from evercast.reinterpretation.requests.frozen import FrozenPoint, FrozenRequest, read_frozen
from evercast.reinterpretation.requests.points import compute_points, has_result
from evercast.runtime.workflow_files import workflow_root

__all__ = ["batches_of", "compute_missing", "run_batch"]

_LARGEST: Final = 16
"""Points of a batch: what starting its job costs is small beside it, and what a killed job loses is little."""
_POLL_SECONDS: Final = 0.2
_LAST_WORDS: Final = 3000


def compute_missing(
    frozen: FrozenRequest, *, cores: int, observe: Callable[[FrozenPoint], None]
) -> tuple[FrozenPoint, ...]:
    """Compute those points of a request that have no result, and return them.

    Args:
        frozen: the request.
        cores: batches at a time.
        observe: told of every point when its result appears, and at once of those that have one.

    Raises:
        EvercastError: the first error of a batch, with its exit code.
        RunFailed: ``request.interrupted``, ``request.workflow``.
    """
    missing = tuple(point for point in frozen.points if not has_result(frozen, point))
    for point in frozen.points:
        if point not in missing:
            observe(point)
    if not missing:
        return ()
    for point in missing:
        frozen.result(point.key).unlink(missing_ok=True)  # one that is there and cannot be read
    first = {point.key: point for point in missing}  # signals without events have one patch, and one result
    _write_batches(frozen, tuple(first.values()), cores=cores)
    _run_snakemake(frozen, tuple(first.values()), cores=cores, observe=observe)
    for point in missing:
        if first[point.key] is not point:
            observe(point)
    left = [point.name for point in missing if not has_result(frozen, point)]
    if left:
        message = f"{len(left)} points have no result, e.g. {left[0]}"
        raise RunFailed(message, code="request.incomplete", where=str(_log(frozen)), hint="run it again")
    return missing


def _write_batches(frozen: FrozenRequest, points: Sequence[FrozenPoint], *, cores: int) -> None:
    size = max(1, min(_LARGEST, -(-len(points) // max(cores, 1))))
    folder = frozen.folder / "batches"
    make_folder(folder)
    for old in folder.iterdir():
        old.unlink()
    keys = [point.key for point in points]
    for start in range(0, len(keys), size):
        batch = keys[start : start + size]
        name = hashlib.sha256("".join(batch).encode()).hexdigest()[:16]
        atomic_write_json(folder / f"{name}.json", {"keys": batch})


def batches_of(folder: Path) -> tuple[str, ...]:
    """Return the names of the batches of a submitted request.

    Args:
        folder: ``runs/RUN`` of the request.
    """
    return tuple(sorted(path.stem for path in (folder / "batches").glob("*.json")))


def run_batch(folder: Path, name: str) -> None:
    """Compute the points of a batch; an error is written beside it before it is raised.

    Args:
        folder: ``runs/RUN`` of the request.
        name: of the batch.

    Raises:
        EvercastError: what stopped it.
    """
    place = folder / "batches" / name
    try:
        body = read_json(place.with_suffix(".json"))
        keys = body.get("keys") if isinstance(body, dict) else None
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise IntegrityError("the batch cannot be read", code="request.frozen", where=str(place))
        home = folder.resolve()
        compute_points(read_frozen(home.parents[1], home.name), keys)
        place.with_suffix(".done").touch()
    except EvercastError as err:
        with suppress(EvercastError, OSError):
            atomic_write_json(place.with_suffix(".error"), err.to_json())
        raise


def _log(frozen: FrozenRequest) -> Path:
    return frozen.folder / "snakemake.log"


def _command(frozen: FrozenRequest, cores: int) -> list[str]:
    root = workflow_root()
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(root / "workflow" / "requests" / "Snakefile"),
        "--profile", str(root / "workflow" / "profiles" / "default"), "--cores", str(cores),
        "--directory", str(frozen.folder),
    ]  # fmt: skip


def _run_snakemake(
    frozen: FrozenRequest, points: Sequence[FrozenPoint], *, cores: int, observe: Callable[[FrozenPoint], None]
) -> None:
    waiting = {point.key: point for point in points}

    def look() -> None:
        for key, point in list(waiting.items()):
            if frozen.result(key).exists():
                del waiting[key]
                observe(point)

    environment = dict(os.environ) | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with _log(frozen).open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            _command(frozen, cores), stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            env=environment, start_new_session=True,
        )  # fmt: skip
        with _stopped_on_signal(process):
            while process.poll() is None:
                look()
                time.sleep(_POLL_SECONDS)
    look()
    if process.returncode != 0:
        raise _first_error(frozen, process.returncode)


@contextmanager
def _stopped_on_signal(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop Snakemake and its jobs, a group of processes, however the block is left before they end."""
    try:
        with _signals_raised():
            yield
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def _signals_raised() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:  # noqa: ARG001
        message = f"interrupted by {signal.Signals(number).name}; the points that are computed are kept"
        raise RunFailed(message, code="request.interrupted", hint="run the same command again to go on")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_error(frozen: FrozenRequest, code: int) -> EvercastError:
    errors = sorted((frozen.folder / "batches").glob("*.error"), key=lambda path: path.stat().st_mtime_ns)
    for path in errors:
        body = read_json(path)
        if isinstance(body, dict):
            return error_from_json(body)
    words = _log(frozen).read_text(errors="replace")[-_LAST_WORDS:].strip()
    message = f"Snakemake ended with exit code {code}; its last words:\n{words}"
    return RunFailed(message, code="request.workflow", where=str(_log(frozen)))
