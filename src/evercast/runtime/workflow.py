"""What the Snakefile needs: the plan of its configuration, and for each unit the files and resources of its job."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from evercast.errors import UsageError
from evercast.plan import Unit
from evercast.runtime.folders import RunFolder, default_results
from evercast.runtime.leftovers import begin_run
from evercast.runtime.locks import acquire_run_lock
from evercast.runtime.plans import FrozenPlan, freeze_plan, plan_document, read_plan

__all__ = ["grown", "plan_of_config", "receipt_of", "receipts_needed", "start_run", "use_own_programs"]


def plan_of_config(config: Mapping[str, object]) -> FrozenPlan:
    """Return the plan that a Snakemake configuration asks for.

    Args:
        config: ``analysis`` the document; ``results`` the run folder; ``pseudo_data`` never (default) or always;
            ``plan`` a frozen plan, which settles everything else.

    Raises:
        UsageError: a key is missing or wrong.
        EvercastError: the document is not valid.
    """
    if "plan" in config:
        return read_plan(Path(str(config["plan"])))
    if "analysis" not in config:
        raise UsageError("no analysis is given", code="run.no-analysis", hint="add --config analysis=DOCUMENT")
    mode = str(config.get("pseudo_data", "never"))
    if mode not in ("never", "always"):
        raise UsageError(
            f"pseudo_data is {mode!r}; expected never or always",
            code="run.pseudo-data",
            hint="evercast run DOCUMENT --pseudo-data if-unavailable finds out by itself",
        )
    document = Path(str(config["analysis"]))
    analysis, plan = plan_document(document, pseudo=mode == "always")
    folder = RunFolder(Path(str(config["results"])) if "results" in config else default_results(analysis.name))
    return freeze_plan(plan, analysis=analysis, document=document, folder=folder)


def receipt_of(frozen: FrozenPlan, unit: Unit) -> str:
    """Return the file that Snakemake takes for the output of a unit."""
    return str(frozen.folder.receipt(unit))


def receipts_needed(frozen: FrozenPlan, unit: str, *, units: Mapping[str, Unit]) -> list[str]:
    """Return the receipts that a unit waits for.

    Args:
        frozen: the plan.
        unit: id of the unit.
        units: all units of the plan by their id; they are looked up here for thousands of jobs.
    """
    return [receipt_of(frozen, units[identity]) for identity in units[unit].needs()]


def grown(amount: int, *, attempt: int) -> int:
    """Return what a job asks for when it is tried again: twice as much each time.

    Example:
        >>> grown(500, attempt=1), grown(500, attempt=3)
        (500, 2000)
    """
    return int(amount * 2 ** (attempt - 1))


def use_own_programs() -> None:
    """Make the jobs of this process find the `evercast` that belongs to this Python, activated or not."""
    here = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != here:
        os.environ["PATH"] = os.pathsep.join((here, path))


def start_run(frozen: FrozenPlan, config: Mapping[str, object]) -> None:
    """Lock the run folder until this process ends and begin the run; ``evercast run`` has done both already.

    Raises:
        EnvironmentUnfit: ``run.locked``, or ``run.unit-locked`` where a job of a killed run cannot be stopped.
    """
    if config.get("lock") != "held":
        acquire_run_lock(frozen.folder)
        begin_run(frozen.plan, folder=frozen.folder)
