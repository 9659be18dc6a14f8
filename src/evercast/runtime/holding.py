"""Holding a run folder or a unit: the lease that all nodes see, and the lock that the kernel releases."""

from __future__ import annotations

import atexit
import logging
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from evercast.plan import Unit
from evercast.runtime.folders import RunFolder
from evercast.runtime.leases import BEAT_SECONDS, SILENT_SECONDS, Lease, join_lease, lease_holder, take_lease
from evercast.runtime.locks import acquire_run_lock, is_held, locked
from evercast.runtime.slurm_jobs import own_job

__all__ = ["HeldRun", "hold_run_until_exit", "holding_run", "holding_unit", "run_is_active", "unit_is_worked_on"]

_LOG = logging.getLogger(__name__)


class HeldRun:
    """A run folder that this process holds.

    Args:
        handle: of the lock; processes that inherit it hold the folder too.
        lease: seen from all nodes.
    """

    def __init__(self, handle: int, lease: Lease) -> None:
        self.handle, self.lease = handle, lease


@contextmanager
def holding_run(folder: RunFolder) -> Iterator[HeldRun]:
    """Hold a run folder in the block; where another run takes it over, this process is told to end.

    Raises:
        EnvironmentUnfit: ``run.locked``, naming process and host of the other run.
    """
    handle = acquire_run_lock(folder)
    try:
        lease = take_lease(folder.run_lease, what=f"the run folder {folder.root}", code="run.locked")
        with lease.kept(on_loss=_ending_this_process(f"the run folder {folder.root}")):
            yield HeldRun(handle, lease)
    finally:
        os.close(handle)


def hold_run_until_exit(folder: RunFolder, *, held: bool) -> None:
    """Hold a run folder until this process ends.

    Args:
        folder: of the run.
        held: whether the parent of this process holds it; then this one helps, so that it stays held if that is killed.

    Raises:
        EnvironmentUnfit: ``run.locked``.
    """
    stack = ExitStack()
    if not held:
        stack.enter_context(holding_run(folder))
        atexit.register(stack.close)
    elif (lease := join_lease(folder.run_lease)) is not None:
        lease.keep(on_loss=_ending_this_process(f"the run folder {folder.root}"))


@contextmanager
def holding_unit(folder: RunFolder, unit: Unit) -> Iterator[Lease]:
    """Hold a unit in the block; gives the lease, to be checked before anything is published.

    A job of SLURM waits for another copy of itself, which may be at work on a node that was thought dead: when that has
    finished, there is nothing left to do, and when it falls silent, this one goes on from its checkpoint. Elsewhere a
    job waits as long as it takes to notice that a holder on another machine, such as a killed pod, is silent.

    Raises:
        EnvironmentUnfit: ``run.unit-locked``, or the disk refuses.
    """
    what, in_slurm = f"unit {unit.id}", own_job() is not None
    holder = lease_holder(folder.unit_lease(unit))
    elsewhere = holder is not None and holder.host != socket.gethostname()
    lease = take_lease(
        folder.unit_lease(unit), what=what, code="run.unit-locked",
        patience=math.inf if in_slurm else SILENT_SECONDS + BEAT_SECONDS if elsewhere else 0.0,
    )  # fmt: skip
    patience = 3 * BEAT_SECONDS if in_slurm else None
    with (
        lease.kept(on_loss=_ending_this_process(what)),
        locked(folder.unit_lock(unit), code="run.unit-locked", what=what, patience=patience),
    ):
        yield lease


def run_is_active(folder: RunFolder) -> bool:
    """Return whether a run works in this folder, on this machine or another."""
    return is_held(folder.lock) or lease_holder(folder.run_lease) is not None


def unit_is_worked_on(folder: RunFolder, unit: Unit, *, ask: bool = False) -> bool:
    """Return whether a job works on a unit, on this machine or another.

    Args:
        folder: of the run.
        unit: of the plan.
        ask: whether SLURM may be asked for the job.
    """
    return is_held(folder.unit_lock(unit)) or lease_holder(folder.unit_lease(unit), ask=ask) is not None


def _ending_this_process(what: str) -> Callable[[], None]:
    def end() -> None:
        _LOG.error("%s was taken over by another process; this one ends", what)
        os.kill(os.getpid(), signal.SIGTERM)

    return end
