"""Stage diagnostics: every check of a run as ``diagnostics.json``.

It stands in `publication`, beside the report that shows it; the runtime calls it by its module name.
"""

from __future__ import annotations

import logging
from collections import Counter

from evercast.artifacts.files import atomic_write_json
from evercast.plan.recipes import DiagnosticsRecipe, Task
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.diagnostics.document import all_checks, diagnostics_document
from evercast.publication.report.units import collect_units
from evercast.runtime.device import configure_device

__all__ = ["run"]

_LOG = logging.getLogger(__name__)


def run(task: Task[DiagnosticsRecipe]) -> None:
    """Make all checks and write ``diagnostics.json``; a red check is a result, no error.

    Raises:
        IntegrityError: a file of a unit is absent or damaged.
        EnvironmentUnfit: the disk is full or read-only.
    """
    configure_device(threads=task.threads, cache=task.compiled_functions())
    analysis = task.recipe.analysis
    checks = all_checks(RunContents(analysis=analysis, units=collect_units(task.inputs)))
    atomic_write_json(task.output / "diagnostics.json", diagnostics_document(checks, analysis.publish.overrides))
    counts = Counter(check.status for check in checks)
    _LOG.info("%d checks: %s", len(checks), ", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    for check in checks:
        if check.status == "red":
            _LOG.warning("red: %s (%s): %s", check.id, check.name, check.message)
