"""How far the engine is with the units of a request: events made and selected, networks trained and evaluated."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from evercast.errors import EvercastError
from evercast.runtime.folders import RECEIPT, RunFolder
from evercast.runtime.plans import read_jobs
from evercast.runtime.settings import read_settings

__all__ = ["StageDone", "stages_done"]

_FOLDERS = ("work", "work/run")
"""Run folders in that of a request: of a published likelihood, and of an archive."""


@dataclass(frozen=True, slots=True)
class StageDone:
    """How many units of a stage have their receipt, and how many there are."""

    stage: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.stage.replace('_', ' ')} {self.done} of {self.total}"


def stages_done(root: Path) -> tuple[StageDone, ...]:
    """Return the stages of the plan that the engine runs, or ran last, for a request; empty where it needs none.

    Args:
        root: folder of the request.
    """
    folder = next((one for name in _FOLDERS if (one := RunFolder(root / name)).current.is_file()), None)
    if folder is None:
        return ()
    try:
        digest = read_settings(folder).plan
        units = _units(folder.plan(digest) / "plan.json") if digest else ()
    except EvercastError:
        return ()  # it is written just now, or was removed; the run itself tells of damage
    total = Counter(stage for stage, _ in units)
    done = Counter(stage for stage, unit in units if (folder.work / stage / unit / RECEIPT).is_file())
    return tuple(StageDone(stage, done[stage], count) for stage, count in total.items())


@functools.lru_cache(maxsize=64)
def _units(plan: Path) -> tuple[tuple[str, str], ...]:
    """Return (stage, unit) of a frozen plan, which never changes."""
    return tuple((job.stage, unit) for job in read_jobs(plan) for unit in job.units)
