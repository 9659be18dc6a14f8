"""Runs one unit of a plan: inputs checked, output complete or absent, errors recorded.

Order of events: lease and lock, marker in ``running``, inputs compared with their receipts, attempt folder, stage,
digests, receipt, look at the lease, rename to the final name. A kill at any point leaves either the finished unit or
nothing under its name.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType

from evercast.artifacts.files import atomic_write_json, disk_errors, flush_to_disk
from evercast.errors import EvercastError, RunFailed
from evercast.plan import Unit
from evercast.plan.keys import input_key
from evercast.plan.recipes import Task
from evercast.runtime.compute import compute
from evercast.runtime.folders import RunFolder
from evercast.runtime.holding import holding_unit
from evercast.runtime.inputs import resolve_inputs
from evercast.runtime.known_failures import current_run, raise_known_failure
from evercast.runtime.leases import Lease
from evercast.runtime.locks import note_execution
from evercast.runtime.memory_kills import naming_memory_kills
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.provenance import now_utc, seeds_of
from evercast.runtime.receipts import Receipt, digest_files, is_finished, write_receipt
from evercast.runtime.sessions import Session
from evercast.runtime.slurm_jobs import own_cluster, own_job
from evercast.runtime.stage_calls import as_error
from evercast.runtime.up_to_date import is_up_to_date, made_from, put_outdated_aside

__all__ = ["execute_unit", "interruptible"]

_LOG = logging.getLogger(__name__)


def execute_unit(
    frozen: FrozenPlan, unit: Unit, *, threads: int = 1, gpus: int = 0, session: Session | None = None
) -> bool:
    """Run one unit, unless it is finished; return whether it was run.

    Args:
        frozen: the plan.
        unit: of the plan.
        threads: cores it may use.
        gpus: GPUs it was given.
        session: container of its batch, which computes it if it can.

    Raises:
        EvercastError: what the stage or a check raised; it is recorded in the error file of the unit too.
    """
    folder = frozen.folder
    with interruptible(unit.id), holding_unit(folder, unit) as lease:
        if is_up_to_date(frozen, unit):
            _LOG.info("%s is finished already", unit.id)
            return False
        raise_known_failure(unit, folder=folder)
        if put_outdated_aside(frozen, unit):
            _LOG.warning("%s was made from files that have changed since: it is made again", unit.id)
        note_execution(folder.unit_lock(unit))
        with _Recorder(frozen, unit, lease), _marked(frozen, unit, lease):
            try:
                _run(frozen, unit, lease=lease, threads=threads, gpus=gpus, session=session)
            except RunFailed:
                lease.check(f"unit {unit.id}")
                raise
            except OSError as err:
                raise as_error(err, folder=folder.work) from err
    return True


def _run(
    frozen: FrozenPlan, unit: Unit, *, lease: Lease, threads: int, gpus: int, session: Session | None
) -> None:  # fmt: skip
    folder = frozen.folder
    inputs = resolve_inputs(frozen, unit)
    taken = made_from(frozen, unit)
    shared = session if session is not None and session.takes(unit) else None
    attempt, checkpoint = folder.attempt(unit.id).resolve(), folder.checkpoint(unit).resolve()
    if shared is not None:
        attempt = shared.root / attempt.name
    started, clock = now_utc(), time.monotonic()
    try:
        with disk_errors(attempt):
            attempt.mkdir(parents=True)
            checkpoint.mkdir(parents=True, exist_ok=True)
        task = Task(
            recipe=unit.recipe, inputs=inputs, output=attempt, checkpoint=checkpoint, threads=threads, gpus=gpus
        )  # fmt: skip
        with naming_memory_kills(unit.id):
            computed = compute(frozen, unit, task) if shared is None else shared.compute(unit, task)
        files = digest_files(attempt)
        if not files:
            raise RunFailed("the stage ended without writing anything", code="stage.no-output", where=unit.id)
        receipt = Receipt(
            stage=unit.stage, unit=unit.id, key=unit.key, versions=computed.versions, seeds=seeds_of(unit.recipe),
            started=started, ended=now_utc(), seconds=round(time.monotonic() - clock, 3),
            max_rss_mb=computed.max_rss_mb, files=files, inputs=_input_keys(frozen, unit),
            made_from=taken, host=socket.gethostname(),
            slurm_job=own_job(), slurm_cluster=own_cluster(), max_rss_of=computed.max_rss_of,
            container=computed.container, device=computed.device,
        )  # fmt: skip
        write_receipt(receipt, folder=attempt)
        lease.check(f"unit {unit.id}")
        _publish(attempt, unit=unit, folder=folder)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    shutil.rmtree(checkpoint, ignore_errors=True)
    folder.error(unit).unlink(missing_ok=True)


def _publish(attempt: Path, *, unit: Unit, folder: RunFolder) -> None:
    """Give a complete folder its final name; what stood there without a receipt is put aside and removed.

    A finished unit is never replaced: the renaming fails where another process has finished it in the meantime.
    """
    final, aside = folder.unit(unit), folder.attempt(unit.id)
    with disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists() and not is_finished(unit, receipt_file=folder.receipt(unit)):
            final.rename(aside)
        flush_to_disk(attempt)
        try:
            attempt.rename(final)
        except OSError:
            if not is_finished(unit, receipt_file=folder.receipt(unit)):
                raise
            _LOG.warning("%s was finished by another process meanwhile; its files stay", unit.id)
        flush_to_disk(final.parent)
        flush_to_disk(final.parent.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _input_keys(frozen: FrozenPlan, unit: Unit) -> Mapping[str, str]:
    keys = {item.id: item.key for item in frozen.plan.units}
    return {name: input_key(value, keys=keys, files=frozen.plan.files) for name, value in unit.inputs.items()}


@contextmanager
def _marked(frozen: FrozenPlan, unit: Unit, lease: Lease) -> Iterator[None]:
    """Say in a file, during the block, who works on the unit; a file that stays tells of a kill."""
    marker = frozen.folder.running(unit)
    with disk_errors(marker):
        marker.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_json(
        marker, {"pid": os.getpid(), "host": socket.gethostname(), "started": now_utc(), "slurm_job": own_job()}
    )
    try:
        yield
    finally:
        if lease.is_ours():
            marker.unlink(missing_ok=True)


@contextmanager
def interruptible(where: str) -> Iterator[None]:
    """Turn SIGTERM and SIGINT in the block into an error, so that it is recorded and the checkpoint stays."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise RunFailed(
            f"interrupted by {signal.Signals(number).name}",
            code="stage.interrupted",
            where=where,
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

    def __init__(self, frozen: FrozenPlan, unit: Unit, lease: Lease) -> None:
        self._frozen, self._unit, self._lease = frozen, unit, lease

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if err is None or not self._lease.is_ours():  # what is said of the unit is said by who holds it
            return
        known = err if isinstance(err, EvercastError) else EvercastError(f"internal error: {type(err).__name__}: {err}")
        path = self._frozen.folder.error(self._unit)
        body = known.to_json() | {
            "stage": self._unit.stage,
            "unit": self._unit.id,
            "time": now_utc(),
            "run": current_run(self._frozen.folder),
            "slurm_job": own_job(),
        }
        with suppress(OSError, EvercastError):  # a full disk: the exit code and the log remain
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_json(path, body)
