"""``evercast status``: how far a run is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from evercast.cli.again import NextCommand
from evercast.cli.columns import column_width
from evercast.cli.verification import verify_run
from evercast.errors import EvercastError, IntegrityError, UsageError
from evercast.plan import Plan
from evercast.plan.jobs import jobs_of
from evercast.runtime.folders import RunFolder, default_results
from evercast.runtime.holding import run_is_active
from evercast.runtime.job_ends import explain_ends
from evercast.runtime.locks import read_executions
from evercast.runtime.plans import plan_document, ran_with_pseudo_data
from evercast.runtime.published import read_published
from evercast.runtime.status import UnitStatus, count_states, read_error_file, run_status

__all__ = ["command"]


@click.command(epilog="Example: evercast status specs/toy/analysis.yaml")
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), help="Run folder; results/NAME by default.")
@click.option("--verify", is_flag=True, help="Read every file of what is finished and of the results, and compare.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, with every unit.")
@click.pass_context
def command(context: click.Context, *, document: Path, results: Path | None, verify: bool, as_json: bool) -> None:
    """Show per stage of DOCUMENT what is done, running, failed and waiting, and where the logs of failures are.

    With --verify the exit code is 5 where a finished unit is not what its receipt says, was made with another image or
    other versions than the run declares, or where a file of the results is not what was written.
    """
    analysis, plan = plan_document(document, pseudo=False)
    folder = RunFolder(results if results is not None else default_results(analysis.name))
    if folder.root.exists() and not folder.root.is_dir():
        raise UsageError(f"{folder.root} is a file; expected the folder of a run", code="run.no-folder")
    if ran_with_pseudo_data(folder):
        _, plan = plan_document(document, pseudo=True)
    again = NextCommand.of_last_run(folder, document=document, results=results, pseudo=plan.pseudo)
    if verify:
        verification = verify_run(plan, folder=folder, again=again, quiet=as_json)
        click.echo(json.dumps(verification.to_json(), indent=1) if as_json else verification.text())
        if verification.findings:
            context.exit(IntegrityError.exit_code)
        return
    status = explain_ends(run_status(plan, folder=folder), folder=folder, jobs=jobs_of(plan.units))
    state = _State.of(plan, folder, status, again)
    click.echo(json.dumps(state.to_json(), indent=1) if as_json else state.text())


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """How far a run is: its units, and whether their results are at the top of its folder."""

    plan: Plan
    folder: RunFolder
    units: tuple[UnitStatus, ...]
    active: bool
    exported: bool
    export_error: EvercastError | None
    again: NextCommand

    @classmethod
    def of(cls, plan: Plan, folder: RunFolder, units: tuple[UnitStatus, ...], again: NextCommand) -> _State:
        record = read_published(folder)
        error = read_error_file(folder.publish_error)
        for err in filter(None, (error, *(item.error for item in units))):
            again.in_hint(err)
        return cls(
            plan=plan, folder=folder, units=units, active=run_is_active(folder), export_error=error, again=again,
            exported=record is not None and record.plan == plan.digest,
        )  # fmt: skip

    @property
    def complete(self) -> bool:
        """Whether every unit is done; their results need not be at the top of the folder yet."""
        return all(item.state == "done" for item in self.units)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.plan.name,
            "plan": self.plan.digest,
            "pseudo_data": self.plan.pseudo,
            "folder": str(self.folder.root),
            "active": self.active,
            "complete": self.complete,
            "exported": self.exported,
            "export_error": None if self.export_error is None else self.export_error.to_json(),
            "next": None if self.active or (self.complete and self.exported) else self.again.run(),
            "stages": count_states(self.units),
            "units": [
                {
                    "id": item.unit.id,
                    "stage": item.unit.stage,
                    "state": item.state,
                    "executions": read_executions(self.folder.unit_lock(item.unit)),
                    "log": None if item.log is None else str(item.log),
                    "error": None if item.error is None else item.error.to_json(),
                }
                for item in self.units
            ],
        }

    def text(self) -> str:
        kind = ", with simulated pseudo-data" if self.plan.pseudo else ""
        lines = [f"{self.plan.name} in {self.folder.root}{kind}" + (", a run is active" if self.active else "")]
        table = count_states(self.units)
        width = column_width(table)
        lines.append(f"{'stage':<{width}}{'done':>7}{'running':>9}{'failed':>8}{'waiting':>9}")
        for stage, counts in table.items():
            numbers = f"{counts['done']:>7}{counts['running']:>9}{counts['failed']:>8}{counts['waiting']:>9}"
            lines.append(f"{stage:<{width}}{numbers}")
        for item in self.units:
            if item.error is not None:
                lines.append(f"\nfailed: {item.unit.stage} {item.unit.id}: [{item.error.code}] {item.error}")
                lines.append(f"        log: {item.log or 'none was written'}")
        if self.export_error is not None:
            lines.append(f"\nfailed: writing the results: [{self.export_error.code}] {self.export_error}")
        return "\n".join((*lines, *self._verdict()))

    def _verdict(self) -> tuple[str, ...]:
        if self.complete and self.exported:
            return ("\ncomplete",)
        if self.active:
            return ()
        if self.complete:
            return (f"\nall units are done, but their results are not written; to go on: {self.again.run()}",)
        return (f"\nnot complete; to go on: {self.again.run()}",)
