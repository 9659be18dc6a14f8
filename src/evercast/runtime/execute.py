"""Runs one unit of a plan: inputs checked, output complete or absent, errors recorded.

Order of events: lock, marker in ``running``, inputs compared with their receipts, attempt folder, stage, digests,
receipt, rename to the final name. A kill at any point leaves either the finished unit or nothing under its name.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

from evercast.artifacts.files import atomic_write_json, disk_errors, flush_to_disk
from evercast.errors import EvercastError, RunFailed
from evercast.plan import Unit
from evercast.plan.keys import input_key
from evercast.plan.recipes import Task
from evercast.runtime.inputs import resolve_inputs
from evercast.runtime.locks import locked
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.provenance import max_rss_mb, now_utc, seeds_of, versions
from evercast.runtime.receipts import Receipt, digest_files, is_finished, write_receipt

__all__ = ["execute_unit"]

_LOG = logging.getLogger(__name__)
_MODULES: Final = {
    "diagnostics": "evercast.publication.diagnostics_stage",
    "report": "evercast.publication.report_stage",
}
"""Stages that do not stand in ``evercast.stages``: they look at all that is published, which stages may not import."""


def execute_unit(frozen: FrozenPlan, unit: Unit, *, threads: int = 1, gpus: int = 0) -> bool:
    """Run one unit, unless it is finished; return whether it was run.

    Raises:
        EvercastError: what the stage or a check raised; it is recorded in the error file of the unit too.
    """
    folder = frozen.folder
    with locked(folder.unit_lock(unit), code="run.unit-locked", what=f"unit {unit.id}"):
        if is_finished(unit, receipt_file=folder.receipt(unit)):
            _LOG.info("%s is finished already", unit.id)
            return False
        with _Recorder(frozen, unit), _marked(frozen, unit), _interruptible(unit):
            try:
                _run(frozen, unit, threads=threads, gpus=gpus)
            except OSError as err:
                raise _as_disk_error(err, frozen) from err
    return True


def _run(frozen: FrozenPlan, unit: Unit, *, threads: int, gpus: int) -> None:
    folder = frozen.folder
    inputs = resolve_inputs(frozen, unit)
    attempt, checkpoint = folder.attempt(unit.id).resolve(), folder.checkpoint(unit).resolve()
    started, clock = now_utc(), time.monotonic()
    try:
        with disk_errors(attempt):
            attempt.mkdir(parents=True)
            checkpoint.mkdir(parents=True, exist_ok=True)
        task = Task(
            recipe=unit.recipe, inputs=inputs, output=attempt, checkpoint=checkpoint, threads=threads, gpus=gpus
        )  # fmt: skip
        _stage_function(unit.stage)(task)
        files = digest_files(attempt)
        if not files:
            raise RunFailed("the stage ended without writing anything", code="stage.no-output", where=unit.id)
        receipt = Receipt(
            stage=unit.stage, unit=unit.id, key=unit.key, versions=versions(), seeds=seeds_of(unit.recipe),
            started=started, ended=now_utc(), seconds=round(time.monotonic() - clock, 3), max_rss_mb=max_rss_mb(),
            files=files, inputs=_input_keys(frozen, unit), host=socket.gethostname(),
            slurm_job=os.environ.get("SLURM_JOB_ID"),
        )  # fmt: skip
        write_receipt(receipt, folder=attempt)
        _publish(attempt, final=folder.unit(unit), aside=folder.attempt(unit.id))
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    shutil.rmtree(checkpoint, ignore_errors=True)
    folder.error(unit).unlink(missing_ok=True)


def _stage_function(stage: str) -> Callable[[Task[Any]], None]:
    """Return the function of a stage; its imports are heavy, so they happen in the job that needs them."""
    module = _MODULES.get(stage, f"evercast.stages.{stage}")
    function: Callable[[Task[Any]], None] = importlib.import_module(module).run
    return function


def _publish(attempt: Path, *, final: Path, aside: Path) -> None:
    """Give a complete folder its final name; what stood there without a receipt is put aside and removed."""
    with disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            final.rename(aside)
        attempt.rename(final)
        flush_to_disk(final.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _input_keys(frozen: FrozenPlan, unit: Unit) -> Mapping[str, str]:
    keys = {item.id: item.key for item in frozen.plan.units}
    return {name: input_key(value, keys=keys, files=frozen.plan.files) for name, value in unit.inputs.items()}


@contextmanager
def _marked(frozen: FrozenPlan, unit: Unit) -> Iterator[None]:
    """Say in a file, during the block, who works on the unit; a file that stays tells of a kill."""
    marker = frozen.folder.running(unit)
    with disk_errors(marker):
        marker.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_json(marker, {"pid": os.getpid(), "host": socket.gethostname(), "started": now_utc()})
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


@contextmanager
def _interruptible(unit: Unit) -> Iterator[None]:
    """Turn SIGTERM and SIGINT in the block into an error, so that it is recorded and the checkpoint stays."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise RunFailed(
            f"interrupted by {signal.Signals(number).name}",
            code="stage.interrupted",
            where=unit.id,
            hint="run again; it goes on from its last checkpoint",
        )

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Recorder:
    """Writes the error file of a unit when its block ends with an error, also one that is a defect; hides none."""

    def __init__(self, frozen: FrozenPlan, unit: Unit) -> None:
        self._frozen, self._unit = frozen, unit

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if err is None:
            return
        known = err if isinstance(err, EvercastError) else EvercastError(f"internal error: {type(err).__name__}: {err}")
        path = self._frozen.folder.error(self._unit)
        body = known.to_json() | {"stage": self._unit.stage, "unit": self._unit.id, "time": now_utc()}
        with suppress(OSError, EvercastError):  # a full disk: the exit code and the log remain
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_json(path, body)


def _as_disk_error(err: OSError, frozen: FrozenPlan) -> EvercastError:
    """Return an operating system error of a stage as ours: the disk where it is the disk, else a failed stage."""
    try:
        with disk_errors(Path(err.filename) if isinstance(err.filename, str) else frozen.folder.work):
            raise err
    except EvercastError as known:
        return known
    except OSError as unknown:
        return RunFailed(f"{type(unknown).__name__}: {unknown}", code="stage.system", where=str(frozen.folder.work))
