"""Stage report: reads every unit of a run, writes ``report.html``, ``fit.json`` and ``provenance.json``.

It stands in `publication`, which may import all that it shows; the runtime calls it by its module name.
"""

from __future__ import annotations

import logging

from evercast.artifacts.files import atomic_write_bytes, atomic_write_json
from evercast.plan.recipes import ReportRecipe, Task
from evercast.publication.report.page import fit_document, make_page, render_page
from evercast.publication.report.provenance import provenance_document
from evercast.publication.report.units import collect_units

__all__ = ["run"]

_LOG = logging.getLogger(__name__)


def run(task: Task[ReportRecipe]) -> None:
    """Write the report of a run.

    Raises:
        IntegrityError: a file of a unit is absent or damaged.
        EnvironmentUnfit: the disk is full or read-only.
    """
    analysis, pseudo = task.recipe.analysis, task.recipe.pseudo
    units = collect_units(task.inputs)
    atomic_write_json(task.output / "fit.json", fit_document(units))
    atomic_write_json(task.output / "provenance.json", provenance_document(analysis, units, pseudo=pseudo))
    html = render_page(make_page(analysis, units, pseudo=pseudo)).encode()
    atomic_write_bytes(task.output / "report.html", html)
    _LOG.info("report of %d units, %.1f MB", len(units), len(html) / 1e6)
