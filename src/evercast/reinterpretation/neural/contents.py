"""The derived run behind an answer, as the sections of reports read runs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from evercast.artifacts.files import read_json
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.report.checks import Diagnostics, read_diagnostics
from evercast.publication.report.units import collect_units
from evercast.runtime.plans import read_plan
from evercast.spec.codec import from_json
from evercast.spec.model import Analysis

__all__ = ["checks_of", "run_contents"]


def run_contents(plan: Path) -> RunContents:
    """Return the finished units of a run, and its document as it was frozen.

    Args:
        plan: the frozen ``plan.json``.

    Raises:
        IntegrityError: the plan or its document cannot be read.
    """
    frozen = read_plan(plan)
    analysis = from_json(Analysis, read_json(plan.parent / "analysis.json"))
    folders = {f"{unit.stage}/{unit.name}": frozen.folder.unit(unit) for unit in frozen.plan.units}
    done = {name: folder for name, folder in folders.items() if (folder / "receipt.json").is_file()}
    return RunContents(analysis=analysis, units=collect_units(done))


def checks_of(contents: RunContents, names: Collection[str]) -> Diagnostics:
    """Return the checks of a run that concern what is new, or the likelihood it stands in.

    Args:
        contents: the derived run.
        names: of the likelihood, the new process and its sample: the ids of checks are made of such names.

    Raises:
        IntegrityError: ``diagnostics.json`` is absent or not JSON.
    """
    found = read_diagnostics(contents.units)
    kept = tuple(check for check in found.checks if set(check.id.split(".")[1:]) & set(names))
    return Diagnostics(document=found.document, overridden=found.overridden, checks=kept)
