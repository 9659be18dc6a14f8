"""Frozen plans for the tests of the runtime: small documents whose units run in milliseconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evercast.plan import Unit
from evercast.runtime.folders import RunFolder
from evercast.runtime.plans import FrozenPlan, freeze_plan, plan_document
from workflow_documents import small_body, write_document


def freeze(
    folder: Path, stages: Mapping[str, Mapping[str, Any]] | None = None, *, results: Path | None = None
) -> FrozenPlan:
    """The frozen plan of the small document with more extra stages."""
    content = small_body()
    content["stages"].update(stages or {})
    document = write_document(folder / "analysis", content)
    analysis, plan = plan_document(document, pseudo=False)
    run_folder = RunFolder(results if results is not None else folder / "results")
    return freeze_plan(plan, analysis=analysis, document=document, folder=run_folder)


def command(run: str, outputs: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """An extra stage that runs a line of shell."""
    return {"run": run, "outputs": dict(outputs or {"out": "out.txt"}), **more}


def named(frozen: FrozenPlan, name: str) -> Unit:
    """The unit with this name."""
    return next(unit for unit in frozen.plan.units if unit.name == name)


def run_alone(frozen: FrozenPlan, unit: Unit) -> list[str]:
    """The command line that runs one unit, as a rule does."""
    program = str(Path(sys.executable).parent / "evercast")
    return [program, "stage", unit.stage, "--plan", str(frozen.file), "--unit", unit.id]


def wait_for(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def nothing_was_made(frozen: FrozenPlan, unit: Unit) -> bool:
    """Whether there is neither the unit nor an attempt at it."""
    attempts = frozen.folder.work / "attempts"
    return not frozen.folder.unit(unit).exists() and not (attempts.exists() and any(attempts.iterdir()))
