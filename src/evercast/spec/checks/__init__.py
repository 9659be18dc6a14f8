"""Cross-checks of a document: what a JSON Schema cannot say. Each adds all its problems to a report."""

from __future__ import annotations

from evercast.spec.checks.bases import check_bases
from evercast.spec.checks.context import Context
from evercast.spec.checks.files import check_files
from evercast.spec.checks.likelihoods import check_likelihoods
from evercast.spec.checks.model import check_model
from evercast.spec.checks.names import check_names
from evercast.spec.checks.networks import check_ensembles
from evercast.spec.checks.outcome import check_outcome
from evercast.spec.checks.samples import check_samples
from evercast.spec.checks.selection import check_selection
from evercast.spec.checks.stages import check_stages
from evercast.spec.checks.studies import check_studies
from evercast.spec.checks.systematics import check_systematics
from evercast.spec.report import Report

__all__ = ["Context", "run_checks"]

_CHECKS = (
    check_names,
    check_stages,
    check_samples,
    check_selection,
    check_model,
    check_bases,
    check_systematics,
    check_ensembles,
    check_likelihoods,
    check_studies,
    check_outcome,
    check_files,
)


def run_checks(context: Context, report: Report) -> None:
    """Add every problem of the cross-checks to `report`."""
    for check in _CHECKS:
        check(context, report)
