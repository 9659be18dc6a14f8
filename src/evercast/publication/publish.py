"""The end of a run: its cost is counted, and what it made is published."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from evercast.artifacts.files import atomic_write_json, disk_errors, sha256_file
from evercast.errors import EvercastError
from evercast.publication.report.page import add_section
from evercast.publication.report.sections_jobs import jobs_section
from evercast.runtime.accounting import FILE as ACCOUNTING
from evercast.runtime.accounting import account_run, write_accounting
from evercast.runtime.export import export_results, require_all
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.published import read_published, record_published
from evercast.runtime.stage_calls import as_error

__all__ = ["publish_run"]


def publish_run(frozen: FrozenPlan) -> tuple[Path, ...]:
    """Publish the results of a run, as `_publish` does; an error is written down for whoever waits for the run.

    Raises:
        RunFailed: ``run.incomplete``: a unit of the plan has no receipt; or ``stage.system``.
        IntegrityError: a receipt is damaged, or a file to be published is not what its receipt says.
        EnvironmentUnfit: the disk refuses, or something stands where a file is to be published; what was published
            before is untouched.
    """
    try:
        return _publish(frozen)
    except OSError as err:
        raise _noted(as_error(err, folder=frozen.folder.root), frozen) from err
    except EvercastError as err:
        raise _noted(err, frozen) from err.__cause__


def _noted(err: EvercastError, frozen: FrozenPlan) -> EvercastError:
    file = frozen.folder.publish_error
    with suppress(OSError, EvercastError):  # a full disk: the exit code and the log remain
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(file, err.to_json())
    return err


def _publish(frozen: FrozenPlan) -> tuple[Path, ...]:
    """Publish the results of a run with the accounting of its jobs; return what was written.

    The report is made by a job like others, so that it cannot tell how the last ones ended. Its section about jobs is
    added here, to the copy that is published. A second call writes nothing.
    """
    require_all(frozen)
    _drop_changed_accounting(frozen)
    accounting = account_run(frozen)
    section = jobs_section(accounting)

    def with_jobs(report: bytes) -> bytes:
        return add_section(report.decode(), section).encode()

    written = export_results(frozen, completed={"report.html": with_jobs})
    file = write_accounting(accounting, folder=frozen.folder.root)
    record_published(frozen)
    frozen.folder.publish_error.unlink(missing_ok=True)
    return (*written, file) if file is not None else written


def _drop_changed_accounting(frozen: FrozenPlan) -> None:
    """Remove an accounting that is not the one that was published: it would be taken as known and published again."""
    record, file = read_published(frozen.folder), frozen.folder.root / ACCOUNTING
    known = None if record is None else record.files.get(ACCOUNTING)
    if known is not None and file.is_file() and (file.is_symlink() or sha256_file(file) != known.sha256):
        with disk_errors(file):
            file.unlink()
