"""Computes the task of a unit: in this process, or in a container that sees nothing else."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from evercast.artifacts.files import atomic_write_json, read_json
from evercast.errors import EvercastError, IntegrityError, RunFailed, error_from_json
from evercast.plan import Unit
from evercast.plan.recipes import StageName, Task
from evercast.runtime.containers import Container, Private, private_folders, record_of, run_contained
from evercast.runtime.image_choice import container_of
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.processes import Ended
from evercast.runtime.provenance import PeakMemory, versions
from evercast.runtime.receipts import ContainerRecord
from evercast.runtime.settings import read_settings
from evercast.runtime.stage_calls import call_stage
from evercast.spec.codec import from_json, to_json

__all__ = [
    "END_FILE", "POLL_SECONDS", "Computed", "compute", "container_failure", "error_file", "measure", "result_file",
    "task_file", "write_task",
]  # fmt: skip

END_FILE: Final = "end"
"""Its presence tells a container that waits for tasks to end."""
POLL_SECONDS: Final = 0.02


def task_file(folder: Path, number: int | None = None) -> Path:
    """Return the file of a task: of the only one, or of one of several."""
    return folder / ("task.json" if number is None else f"task-{number}.json")


def result_file(task: Path) -> Path:
    """Return the file beside a task that says what computed it."""
    return task.with_name(task.name.replace("task", "result", 1))


def error_file(task: Path) -> Path:
    """Return the file beside a task that says why it failed."""
    return task.with_name(task.name.replace("task", "error", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What computed a task, for its receipt.

    Args:
        versions: of evercast, Python and packages.
        max_rss_mb: largest resident memory, MB.
        max_rss_of: whether that is of the ``unit``, or of all that its ``job`` did before.
        device: what computed; empty for a stage without arrays.
        container: None where it was this process.
        network_attempts: how often something wanted to reach an address outside, where there was no network.
    """

    versions: Mapping[str, str]
    max_rss_mb: float
    max_rss_of: str = "job"
    device: Mapping[str, str] = field(default_factory=dict)
    container: ContainerRecord | None = None
    network_attempts: int | None = None


def measure(peak: PeakMemory) -> Computed:
    """Return what this process says of itself; `peak` was made before it computed."""
    return Computed(versions=versions(), max_rss_mb=peak.mb(), max_rss_of=peak.of, device=_device())


def _device() -> Mapping[str, str]:
    """Return what the arrays of this process are on; nothing where it has none, for which JAX need not be loaded."""
    if "jax" not in sys.modules:
        return {}
    from evercast.runtime.device import device_record  # noqa: PLC0415 - loads JAX

    return device_record()


def compute(frozen: FrozenPlan, unit: Unit, task: Task[Any]) -> Computed:
    """Compute the task of a unit, where the settings of the run and the document say.

    Raises:
        EvercastError: what the stage raised, also where that was in a container.
    """
    settings = read_settings(frozen.folder)
    container = container_of(
        frozen, unit, settings=settings, inputs=task.inputs, threads=task.threads, gpus=task.gpus
    )  # fmt: skip
    peak = PeakMemory()
    if unit.stage == "command":
        attempts: list[int | None] = []
        inside = {} if container is None else {"container": container, "note_attempts": attempts.append}
        call_stage(unit.stage, task, **inside)
        record = None if container is None else record_of(container, network_attempts=attempts[0])
        return replace(measure(peak), container=record)
    if container is None:
        call_stage(unit.stage, task)
        return measure(peak)
    with private_folders(container) as private:
        return _compute_inside(unit.stage, task, container=container, private=private)


def _compute_inside(stage: StageName, task: Task[Any], *, container: Container, private: Private) -> Computed:
    """Compute a task in a container; its folder to work in holds the task, and gets what it says of itself."""
    file = task_file(private.work)
    write_task(file, stage, task, compiled=task.checkpoint / ".compiled")
    sys.stderr.flush()
    ended = run_contained(
        ["python", "-I", "-m", "evercast.runtime.inside", str(file)],
        container=container, private=private, inputs=task.inputs.values(), writable=(task.output, task.checkpoint),
        variables={}, log=sys.stderr.buffer,
    )  # fmt: skip
    if ended.code != 0:
        raise container_failure(ended, file)
    said = from_json(Computed, read_json(result_file(file)))
    return replace(said, container=record_of(container, network_attempts=said.network_attempts))


def container_failure(ended: Ended, task: Path) -> EvercastError:
    """Return the error that a stage wrote beside its task; where it wrote none, what is known of its end."""
    try:
        body = read_json(error_file(task))
    except IntegrityError:
        body = None
    if isinstance(body, Mapping):
        return error_from_json(body)
    killed = ended.code in (-9, 137)
    reason = "was killed, perhaps for want of memory" if killed else f"ended with exit code {ended.code}"
    return RunFailed(
        f"the stage {reason} in its container; its last words:\n{ended.tail}",
        code="stage.killed" if killed else "stage.container-failed",
        hint="run again; it goes on from its last checkpoint",
    )


def write_task(file: Path, stage: StageName, task: Task[Any], *, compiled: Path) -> None:
    """Write a task for a container.

    Args:
        file: from `task_file`.
        stage: of the task.
        task: with the paths of the host, which are the same inside.
        compiled: folder for compiled functions.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    body = {
        "stage": stage,
        "recipe": to_json(task.recipe),
        "inputs": {name: str(path) for name, path in task.inputs.items()},
        "output": str(task.output),
        "checkpoint": str(task.checkpoint),
        "compiled": str(compiled),
        "threads": task.threads,
        "gpus": task.gpus,
    }
    atomic_write_json(file, body)
