"""``evercast status``: how far a run is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from evercast.plan import Plan
from evercast.runtime.folders import RunFolder, default_results
from evercast.runtime.locks import is_held
from evercast.runtime.plans import plan_document, ran_with_pseudo_data
from evercast.runtime.status import UnitStatus, count_states, run_status

__all__ = ["command"]


@click.command(epilog="Example: evercast status specs/toy/analysis.yaml")
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), help="Run folder; results/NAME by default.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, with every unit.")
def command(*, document: Path, results: Path | None, as_json: bool) -> None:
    """Show per stage of DOCUMENT what is done, running, failed and waiting, and where the logs of failures are."""
    analysis, plan = plan_document(document, pseudo=False)
    folder = RunFolder(results if results is not None else default_results(analysis.name))
    if ran_with_pseudo_data(folder):
        _, plan = plan_document(document, pseudo=True)
    status = run_status(plan, folder=folder)
    if as_json:
        click.echo(json.dumps(_body(plan, folder, status), indent=1))
    else:
        click.echo(_text(document, plan, folder, status))


def _body(plan: Plan, folder: RunFolder, status: tuple[UnitStatus, ...]) -> dict[str, Any]:

    return {
        "name": plan.name,
        "plan": plan.digest,
        "pseudo_data": plan.pseudo,
        "folder": str(folder.root),
        "active": is_held(folder.lock),
        "complete": all(item.state == "done" for item in status),
        "stages": count_states(status),
        "units": [
            {
                "id": item.unit.id,
                "stage": item.unit.stage,
                "state": item.state,
                "log": None if item.log is None else str(item.log),
                "error": None if item.error is None else item.error.to_json(),
            }
            for item in status
        ],
    }


def _text(document: Path, plan: Plan, folder: RunFolder, status: tuple[UnitStatus, ...]) -> str:

    kind = ", with simulated pseudo-data" if plan.pseudo else ""
    lines = [f"{plan.name} in {folder.root}{kind}" + (", a run is active" if is_held(folder.lock) else "")]
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
    elif not is_held(folder.lock):
        lines.append(f"\nnot complete; to go on: evercast run {document}")
    return "\n".join(lines)
