"""``evercast status``: how far a run is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from evercast.errors import IntegrityError
from evercast.plan import Plan
from evercast.plan.jobs import jobs_of
from evercast.runtime.folders import RunFolder, default_results
from evercast.runtime.holding import run_is_active
from evercast.runtime.job_ends import explain_ends
from evercast.runtime.locks import read_executions
from evercast.runtime.plans import plan_document, ran_with_pseudo_data
from evercast.runtime.settings import read_settings
from evercast.runtime.status import UnitStatus, count_states, run_status
from evercast.runtime.verify import Finding, finished_units, verify_units

__all__ = ["command"]


@click.command(epilog="Example: evercast status specs/toy/analysis.yaml")
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), help="Run folder; results/NAME by default.")
@click.option("--verify", is_flag=True, help="Read every file of what is finished and compare it with its receipt.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, with every unit.")
@click.pass_context
def command(context: click.Context, *, document: Path, results: Path | None, verify: bool, as_json: bool) -> None:
    """Show per stage of DOCUMENT what is done, running, failed and waiting, and where the logs of failures are.

    With --verify the exit code is 5 where a finished unit is not what its receipt says, or was made with another image
    or other versions than the run declares.
    """
    analysis, plan = plan_document(document, pseudo=False)
    folder = RunFolder(results if results is not None else default_results(analysis.name))
    if ran_with_pseudo_data(folder):
        _, plan = plan_document(document, pseudo=True)
    if verify:
        _verify(context, document, plan, folder, as_json=as_json)
        return
    status = explain_ends(run_status(plan, folder=folder), folder=folder, jobs=jobs_of(plan.units))
    if as_json:
        click.echo(json.dumps(_body(plan, folder, status), indent=1))
    else:
        click.echo(_text(document, plan, folder, status))


def _verify(context: click.Context, document: Path, plan: Plan, folder: RunFolder, *, as_json: bool) -> None:
    """Print what is not as it must be, and the next command; exit with 5 where there is anything."""
    units = finished_units(plan, folder=folder)
    findings: list[Finding] = []
    with tqdm(total=len(units), desc="verified", unit="unit", disable=as_json or not sys.stderr.isatty()) as bar:
        for _, wrong_here in verify_units(plan, folder=folder, settings=read_settings(folder)):
            findings += wrong_here
            bar.update()
    wrong = {finding.unit.id for finding in findings}
    repair = f"evercast run {document} --repair"
    if as_json:
        body = {
            "name": plan.name, "plan": plan.digest, "folder": str(folder.root), "verified": len(units),
            "wrong": sorted(wrong), "findings": [_finding(finding) for finding in findings],
            "next": repair if findings else None,
        }  # fmt: skip
        click.echo(json.dumps(body, indent=1))
    else:
        for finding in findings:
            click.echo(f"{finding.unit.stage} {finding.unit.id}: {finding}")
        verdict = f"{len(units)} of {len(plan.units)} units are finished"
        if findings:
            click.echo(f"\n{verdict}; {len(wrong)} of them are not as they must be; to make them anew: {repair}")
        else:
            click.echo(f"{verdict}; every file of them is what its receipt says")
    if findings:
        context.exit(IntegrityError.exit_code)


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "unit": finding.unit.id, "stage": finding.unit.stage, "kind": finding.kind, "path": finding.path,
        "found": finding.found, "expected": finding.expected,
    }  # fmt: skip


def _body(plan: Plan, folder: RunFolder, status: tuple[UnitStatus, ...]) -> dict[str, Any]:

    return {
        "name": plan.name,
        "plan": plan.digest,
        "pseudo_data": plan.pseudo,
        "folder": str(folder.root),
        "active": run_is_active(folder),
        "complete": all(item.state == "done" for item in status),
        "stages": count_states(status),
        "units": [
            {
                "id": item.unit.id,
                "stage": item.unit.stage,
                "state": item.state,
                "executions": read_executions(folder.unit_lock(item.unit)),
                "log": None if item.log is None else str(item.log),
                "error": None if item.error is None else item.error.to_json(),
            }
            for item in status
        ],
    }


def _text(document: Path, plan: Plan, folder: RunFolder, status: tuple[UnitStatus, ...]) -> str:

    kind = ", with simulated pseudo-data" if plan.pseudo else ""
    lines = [f"{plan.name} in {folder.root}{kind}" + (", a run is active" if run_is_active(folder) else "")]
    lines.append(f"{'stage':<14}{'done':>7}{'running':>9}{'failed':>8}{'waiting':>9}")
    for stage, counts in count_states(status).items():
        numbers = f"{counts['done']:>7}{counts['running']:>9}{counts['failed']:>8}{counts['waiting']:>9}"
        lines.append(f"{stage:<14}{numbers}")
    for item in status:
        if item.error is not None:
            lines.append(f"\nfailed: {item.unit.stage} {item.unit.id}: [{item.error.code}] {item.error}")
            lines.append(f"        log: {item.log or 'none was written'}")
    if all(item.state == "done" for item in status):
        lines.append("\ncomplete")
    elif not run_is_active(folder):
        lines.append(f"\nnot complete; to go on: evercast run {document}")
    return "\n".join(lines)
