"""Calls the function of a stage: the same outside and inside of containers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from evercast.artifacts.files import disk_errors
from evercast.errors import EvercastError, RunFailed
from evercast.plan.recipes import StageName, Task

__all__ = ["as_error", "call_stage", "stage_function"]

_MODULES: Final = {
    "diagnostics": "evercast.publication.diagnostics_stage",
    "report": "evercast.publication.report_stage",
}
"""Stages that do not stand in ``evercast.stages``: they look at all that is published, which stages may not import."""


def stage_function(stage: StageName) -> Callable[..., None]:
    """Return the function of a stage; its imports are heavy, so they happen in the job that needs them."""
    module = _MODULES.get(stage, f"evercast.stages.{stage}")
    function: Callable[..., None] = importlib.import_module(module).run
    return function


def call_stage(stage: StageName, task: Task[Any], **more: object) -> None:
    """Compute a task in this process.

    Raises:
        EvercastError: what the stage raised; the disk where an operating system error is about it.
    """
    try:
        stage_function(stage)(task, **more)
    except OSError as err:
        raise as_error(err, folder=task.output) from err


def as_error(err: OSError, *, folder: Path) -> EvercastError:
    """Return an operating system error of a stage as ours: the disk where it is the disk, else a failed stage."""
    try:
        with disk_errors(Path(err.filename) if isinstance(err.filename, str) else folder):
            raise err
    except EvercastError as known:
        return known
    except OSError as unknown:
        return RunFailed(f"{type(unknown).__name__}: {unknown}", code="stage.system", where=str(folder))
