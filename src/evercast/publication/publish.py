"""The end of a run: its cost is counted, and what it made is published."""

from __future__ import annotations

from pathlib import Path

from evercast.publication.report.page import add_section
from evercast.publication.report.sections_jobs import jobs_section
from evercast.runtime.accounting import account_run, write_accounting
from evercast.runtime.export import export_results, require_all
from evercast.runtime.plans import FrozenPlan

__all__ = ["publish_run"]


def publish_run(frozen: FrozenPlan) -> tuple[Path, ...]:
    """Publish the results of a run with the accounting of its jobs; return what was written.

    The report is made by a job like others, so that it cannot tell how the last ones ended. Its section about jobs is
    added here, to the copy that is published. A second call writes nothing.

    Raises:
        RunFailed: ``run.incomplete``: a unit of the plan has no receipt.
        IntegrityError: a file to be published is not what its receipt says.
        EnvironmentUnfit: the disk refuses; what was published before is untouched.
    """
    require_all(frozen)
    accounting = account_run(frozen)
    section = jobs_section(accounting)

    def with_jobs(report: bytes) -> bytes:
        return add_section(report.decode(), section).encode()

    written = export_results(frozen, completed={"report.html": with_jobs})
    file = write_accounting(accounting, folder=frozen.folder.root)
    return (*written, file) if file is not None else written
