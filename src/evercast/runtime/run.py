"""Runs an analysis: plan, lock, Snakemake, and the first error or the results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from evercast.artifacts.files import atomic_write_bytes, disk_errors
from evercast.errors import EvercastError, RunFailed
from evercast.plan import Unit
from evercast.runtime.export import require_all
from evercast.runtime.folders import RunFolder, default_results
from evercast.runtime.holding import HeldRun, holding_run
from evercast.runtime.job_ends import explain_ends, record_ends
from evercast.runtime.job_markers import marker_of, settle_jobs
from evercast.runtime.leases import Lease
from evercast.runtime.leftovers import begin_run, cancel_slurm_jobs, stop_jobs
from evercast.runtime.plans import FrozenPlan, freeze_plan, plan_document, read_jobs
from evercast.runtime.receipts import is_finished
from evercast.runtime.repair import refuse_damaged_receipts, set_aside_damaged, set_aside_outdated
from evercast.runtime.settings import read_settings
from evercast.runtime.status import UnitStatus, read_error_file, run_status
from evercast.runtime.workflow_files import profile_folder, snakefile

__all__ = ["Observer", "Outcome", "prepare_run", "run_plan", "snakemake_command"]

_POLL_SECONDS = 0.2
_POLL_PAUSE = 50.0
"""Times as long as the look at thousands of receipts took, so that looking costs 2 % of a core at most."""
_LAST_WORDS = 3000
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run that ended well.

    Args:
        ran: units that this run made; the others were there.
        seconds: wall-clock time, s.
    """

    frozen: FrozenPlan
    ran: tuple[Unit, ...]
    seconds: float


class Observer(Protocol):
    """Is told how a run goes on."""

    def finished(self, unit: Unit) -> None:
        """A unit is finished that was not before."""

    def put_aside(self, units: Sequence[Unit], reason: str) -> None:
        """Units that were finished are no more; they are made anew."""


_Observe = Callable[[Unit], None]


def prepare_run(document: Path, *, results: Path | None, pseudo: bool) -> FrozenPlan:
    """Return the frozen plan of a document; nothing is run.

    Raises:
        InvalidInput: the document is not valid.
        EnvironmentUnfit: the disk refuses.
    """
    analysis, plan = plan_document(document, pseudo=pseudo)
    folder = RunFolder(results if results is not None else default_results(analysis.name))
    return freeze_plan(plan, analysis=analysis, document=document, folder=folder)


def snakemake_command(
    frozen: FrozenPlan, *, document: Path, profile: str, cores: int | None, extra: Sequence[str]
) -> list[str]:
    """Return the command line of Snakemake for a frozen plan.

    Args:
        frozen: the plan.
        document: the document it was made from.
        profile: name or folder of a profile.
        cores: local cores; None leaves it to the profile.
        extra: arguments handed on as they are.

    Raises:
        UsageError: ``run.no-profile``.
        EnvironmentUnfit: ``run.no-workflow``.
    """
    line = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(snakefile()),
        "--profile",
        str(profile_folder(profile)),
    ]
    if cores is not None:
        line += ["--cores", str(cores)]
    return [*line, *extra, "--config", f"analysis={document}", f"plan={frozen.file}", "lock=held"]


def run_plan(
    frozen: FrozenPlan, command: Sequence[str], *, observer: Observer, repair: bool = False,
    options: tuple[str, ...] = (),
) -> Outcome:  # fmt: skip
    """Run the command of Snakemake on a plan until everything is finished.

    Args:
        frozen: the plan.
        command: from `snakemake_command`.
        observer: is told what this run finishes and puts aside.
        repair: whether to verify all that is finished and make anew what is not as it must be.
        options: of ``evercast run``, for whoever goes on with it.

    Raises:
        IntegrityError: ``unit.receipt-damaged``: something finished has no readable receipt, and is not to be repaired.
        EnvironmentUnfit: ``run.locked``: another run works in this folder.
        EvercastError: the first error of a unit, with its exit code.
        RunFailed: ``run.interrupted``, ``run.workflow-failed``, or ``run.incomplete`` where only a part was run.
    """
    folder, clock = frozen.folder, time.monotonic()
    with holding_run(folder) as held:
        last = read_settings(folder)
        begin_run(frozen.plan, folder=folder, options=options)
        damaged = set_aside_damaged(frozen, last=last) if repair else None
        refuse_damaged_receipts(frozen)
        before = _receipts(frozen)
        if damaged is not None and damaged.units:
            observer.put_aside(damaged.units, "damaged")
            _run_only(frozen, damaged.units, command, held=held, observe=observer.finished)
            if follow := set_aside_outdated(frozen, damaged):
                observer.put_aside(follow, "made from what was damaged")
        _run_all(frozen, command, held=held, observe=observer.finished)
        after = _receipts(frozen)
        ran = tuple(unit for unit in frozen.plan.units if before.get(unit.id) != after[unit.id])
        return Outcome(frozen=frozen, ran=ran, seconds=time.monotonic() - clock)


def _run_only(
    frozen: FrozenPlan, units: Sequence[Unit], command: Sequence[str], *, held: HeldRun, observe: _Observe
) -> None:
    """Let Snakemake run some units alone: together with others it would run all that directly follow from them too."""
    jobs, wanted = read_jobs(frozen.file), {unit.id for unit in units}
    settle_jobs(jobs, folder=frozen.folder)
    targets = [str(marker_of(job, folder=frozen.folder)) for job in jobs if wanted & set(job.units)]
    place = command.index("snakemake") + 1
    code = _run_snakemake(frozen, [*command[:place], *targets, *command[place:]], held=held, observe=observe)
    if code != 0:
        raise first_error(frozen, code=code)


def _run_all(frozen: FrozenPlan, command: Sequence[str], *, held: HeldRun, observe: _Observe) -> None:
    """Let Snakemake run all that is not finished."""
    settle_jobs(read_jobs(frozen.file), folder=frozen.folder)
    code = _run_snakemake(frozen, command, held=held, observe=observe)
    if code != 0:
        raise first_error(frozen, code=code)
    require_all(frozen)


def _receipts(frozen: FrozenPlan) -> dict[str, bytes]:
    """Return id -> receipt of every finished unit; each job writes another one, for it tells its time."""
    files = {unit.id: frozen.folder.receipt(unit) for unit in frozen.plan.units}
    return {
        unit.id: files[unit.id].read_bytes()
        for unit in frozen.plan.units
        if is_finished(unit, receipt_file=files[unit.id])
    }


def _run_snakemake(frozen: FrozenPlan, command: Sequence[str], *, held: HeldRun, observe: _Observe) -> int:
    """Run Snakemake with its output in its log; it inherits the lock, which thus outlives this process if it must."""
    log = frozen.folder.snakemake_log
    with disk_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        stream = log.open("wb")
    with stream, _watching(frozen, observe) as look:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, pass_fds=(held.handle,),
            env=_environment(frozen),
        )  # fmt: skip
        with _stopped_on_signal(frozen, process, lease=held.lease):
            while process.poll() is None:
                began = time.monotonic()
                look()
                time.sleep(max(_POLL_SECONDS, _POLL_PAUSE * (time.monotonic() - began)))
        return process.returncode


def _environment(frozen: FrozenPlan) -> dict[str, str]:
    """Return the environment of Snakemake, which needs a writable folder for its own cache."""
    environment = dict(os.environ)
    if not os.access(environment.get("HOME", ""), os.W_OK) and "XDG_CACHE_HOME" not in environment:
        environment["XDG_CACHE_HOME"] = str(frozen.folder.work.resolve() / "cache")
    return environment


@contextmanager
def _watching(frozen: FrozenPlan, observe: _Observe) -> Iterator[Callable[[], None]]:
    """Give a function that reports the units finished since it was last called; it is called once more at the end."""
    waiting = {unit.id: unit for unit in frozen.plan.units if not frozen.folder.receipt(unit).exists()}

    def look() -> None:
        for identity, unit in list(waiting.items()):
            if frozen.folder.receipt(unit).exists():
                del waiting[identity]
                observe(unit)

    try:
        yield look
    finally:
        look()


@contextmanager
def _stopped_on_signal(
    frozen: FrozenPlan, process: subprocess.Popen[bytes], *, lease: Lease
) -> Iterator[None]:  # fmt: skip
    """Stop the jobs, here and in SLURM, and Snakemake, when this process is told to stop; checkpoints stay."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise RunFailed(
            f"interrupted by {signal.Signals(number).name}; what is finished is kept",
            code="run.interrupted",
            where=str(frozen.folder.root),
            hint="run the same command again to resume",
        )

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except RunFailed as err:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        if lease.is_ours():
            _stop_all(frozen, process, err)
        _end(process)
        lease.check(f"the run folder {frozen.folder.root}")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_all(frozen: FrozenPlan, process: subprocess.Popen[bytes], err: RunFailed) -> None:
    """Stop the jobs of an interrupted run: those in SLURM when Snakemake submits no more, local ones before."""
    try:
        if read_settings(frozen.folder).slurm_runs:
            _end(process)
            cancel_slurm_jobs(frozen.folder)
        stop_jobs(frozen.plan, folder=frozen.folder)
        _end(process)
        cancel_slurm_jobs(frozen.folder)
    except EvercastError as left:
        err.hint = f"{err.hint}, which also stops what could not be stopped now: {left.message}"


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def first_error(frozen: FrozenPlan, *, code: int) -> EvercastError:
    """Return why a run failed: the error of the unit that failed first; its hint names those that failed after it.

    Args:
        frozen: the plan that was run.
        code: exit code of Snakemake, for the case that no unit says why.
    """
    if (err := read_error_file(frozen.folder.run_error)) is not None:
        return err
    status = explain_ends(
        run_status(frozen.plan, folder=frozen.folder), folder=frozen.folder, jobs=read_jobs(frozen.file)
    )  # fmt: skip
    failed = [item for item in status if item.error is not None]
    failed.sort(key=lambda item: _ended(item.unit, folder=frozen.folder))
    record_ends(failed, folder=frozen.folder)
    silent = not failed or (failed[0].error is not None and failed[0].error.code == "stage.killed")
    if silent and (unwritable := _refusal_of_disk(frozen.folder)) is not None:
        return unwritable
    for item in failed[:1]:
        if (err := item.error) is not None:
            err.where = f"{item.unit.stage}/{item.unit.id}" + (f" ({err.where})" if err.where else "")
            log = f"log: {item.log}" if item.log else None
            err.hint = "; ".join(filter(None, (err.hint, log, _failed_later(failed[1:]))))
            return err
    if (err := read_error_file(frozen.folder.publish_error)) is not None:
        err.where = f"writing the results ({err.where})" if err.where else "writing the results"
        return err
    words = frozen.folder.snakemake_log.read_text(errors="replace")[-_LAST_WORDS:].strip()
    return RunFailed(
        f"Snakemake ended with exit code {code}; its last words:\n{words}",
        code="run.workflow-failed",
        where=str(frozen.folder.snakemake_log),
    )


def _refusal_of_disk(folder: RunFolder) -> EvercastError | None:
    """Return why nothing can be written to the run folder, where that is so: then no unit could say it."""
    probe = folder.work / f".probe-{os.getpid()}"
    try:
        atomic_write_bytes(probe, bytes(4096))
        probe.unlink()
    except EvercastError as err:
        return err
    return None


def _ended(unit: Unit, *, folder: RunFolder) -> int:
    """Return when a unit failed, ns: when its error was written; of a killed job, when it last said something."""
    for trace in (folder.error(unit), folder.log(unit), folder.running(unit)):
        with suppress(FileNotFoundError):
            return trace.stat().st_mtime_ns
    return 0


def _failed_later(failed: Sequence[UnitStatus]) -> str | None:
    """Return which other units failed: what does not need the first one was still run."""
    if not failed:
        return None
    names = ", ".join(status.unit.id for status in failed[:_NAMED])
    more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    return f"this failed first; after it failed {names}{more}"
