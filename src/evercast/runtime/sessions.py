"""One container for the short units of a batch: started once, it is given one task after the other.

Each unit keeps its own lock, attempt, receipt and checks outside. Of the run the container can write one folder, in
which the attempts of the batch are made and from which they are moved away when they are finished, and the checkpoints
of the batch. A unit that needs another one of the same batch gets a container of its own: what it reads was not there
when this one was started.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from evercast.artifacts.files import disk_errors, read_json
from evercast.errors import EvercastError, error_from_json
from evercast.plan import Unit
from evercast.plan.recipes import Task
from evercast.runtime.compute import (
    END_FILE,
    POLL_SECONDS,
    Computed,
    container_failure,
    error_file,
    result_file,
    task_file,
    write_task,
)
from evercast.runtime.containers import Container, Private, private_folders, record_of, run_contained
from evercast.runtime.image_choice import container_of
from evercast.runtime.inputs import input_paths
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.processes import Ended
from evercast.runtime.settings import read_settings
from evercast.runtime.up_to_date import is_up_to_date
from evercast.spec.codec import from_json

__all__ = ["Session", "batch_session"]

_FEWEST = 2
_LAST_SECONDS = 10.0


class Session:
    """A container that computes the tasks of a batch.

    Args:
        container: in which all of them are computed.
        private: its own folders.
        root: folder of the run in which the attempts of the batch are made.
        units: ids of the units whose inputs and checkpoints it sees.
    """

    def __init__(self, container: Container, *, private: Private, root: Path, units: frozenset[str]) -> None:
        self.root = root
        self._container, self._private, self._units = container, private, units
        self._number = 0
        self._cancelled = False
        self._ended: Ended | None = None
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, *, inputs: Sequence[Path], checkpoints: Sequence[Path]) -> None:
        """Start the container; `inputs` can be read, `checkpoints` written."""
        line = ["python", "-I", "-m", "evercast.runtime.inside", str(self._private.work)]

        def run() -> None:
            try:
                self._ended = run_contained(
                    line, container=self._container, private=self._private, inputs=inputs,
                    writable=(self.root, *checkpoints), variables={}, log=sys.stderr.buffer,
                    stop=lambda: self._cancelled,
                )  # fmt: skip
            except BaseException as err:  # noqa: BLE001 - it belongs to the task that waits, and is raised there
                self._failure = err

        sys.stderr.flush()
        self._thread = threading.Thread(target=run, name="container", daemon=True)
        self._thread.start()

    def takes(self, unit: Unit) -> bool:
        """Return whether it can compute a unit: it lives, and sees what the unit reads."""
        return unit.id in self._units and self._thread is not None and self._thread.is_alive()

    def compute(self, unit: Unit, task: Task[Any]) -> Computed:
        """Compute the task of a unit.

        Raises:
            EvercastError: what the stage raised, or why the container ended.
        """
        file = task_file(self._private.work, self._number)
        self._number += 1
        write_task(file, unit.stage, task, compiled=self._private.work / ".compiled")
        try:
            return self._answer(file)
        finally:
            if not result_file(file).exists() and not error_file(file).exists():
                self.cancel()  # interrupted: nothing may work on the unit when its lease is given back

    def _answer(self, file: Path) -> Computed:
        """Wait for what the container says of a task."""
        while True:
            alive = self._thread is not None and self._thread.is_alive()  # asked before the files are looked for
            if result_file(file).exists():
                said = from_json(Computed, read_json(result_file(file)))
                return replace(said, container=record_of(self._container, network_attempts=said.network_attempts))
            if error_file(file).exists():
                raise _error_in(error_file(file))
            if not alive:
                raise self._why_it_ended(file)
            time.sleep(POLL_SECONDS)

    def end(self) -> None:
        """Let the container end; one that does not is stopped."""
        (self._private.work / END_FILE).touch()
        self._join(_LAST_SECONDS)
        self.cancel()

    def cancel(self) -> None:
        """Stop the container, whatever it does."""
        self._cancelled = True
        self._join(None)

    def _join(self, seconds: float | None) -> None:
        if self._thread is not None:
            self._thread.join(seconds)

    def _why_it_ended(self, file: Path) -> BaseException:
        if self._failure is not None:
            return self._failure
        return container_failure(self._ended or Ended(code=-1, tail=""), file)


def _error_in(file: Path) -> EvercastError:
    body = read_json(file)
    return error_from_json(body if isinstance(body, Mapping) else {})


@contextmanager
def batch_session(
    frozen: FrozenPlan, units: Sequence[Unit], *, name: str, threads: int, gpus: int
) -> Iterator[Session | None]:
    """Give the container of a batch; None where its units run in no container, or hardly any is left to be run.

    Args:
        frozen: the plan.
        units: of the batch, all of one stage.
        name: of the batch.
        threads: cores it may use.
        gpus: GPUs it was given.

    Raises:
        EvercastError: there is no container to be had, or the disk refuses.
    """
    folder = frozen.folder
    todo = [unit for unit in units if not is_up_to_date(frozen, unit)]
    reads = {unit.id: input_paths(frozen, unit) for unit in todo}
    ready = [unit for unit in todo if all(path.exists() for path in reads[unit.id])]
    container = None
    if len(ready) >= _FEWEST:
        settings = read_settings(folder)
        container = container_of(frozen, ready[0], settings=settings, inputs={}, threads=threads, gpus=gpus)
    if container is None:
        yield None
        return
    root = folder.attempt(name).resolve()
    checkpoints = [folder.checkpoint(unit).resolve() for unit in ready]
    with disk_errors(root):
        for path in (root, *checkpoints):
            path.mkdir(parents=True, exist_ok=True)
    try:
        with private_folders(container) as private:
            session = Session(container, private=private, root=root, units=frozenset(unit.id for unit in ready))
            session.start(
                inputs=list(dict.fromkeys(path for unit in ready for path in reads[unit.id])), checkpoints=checkpoints
            )  # fmt: skip
            try:
                yield session
                session.end()
            finally:
                session.cancel()
    finally:
        shutil.rmtree(root, ignore_errors=True)
