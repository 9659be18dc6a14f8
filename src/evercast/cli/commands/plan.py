"""``evercast plan``: what a run would do."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evercast.plan.table import plan_summary, plan_table, unit_table
from evercast.runtime.plans import plan_document

__all__ = ["command"]


@click.command(epilog="Example: evercast plan specs/h4l/analysis.yaml")
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--pseudo-data", is_flag=True, help="Plan with simulated instead of public data.")
@click.option("--units", is_flag=True, help="List every unit, with its key.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def command(*, document: Path, pseudo_data: bool, units: bool, as_json: bool) -> None:
    """Show what a run of DOCUMENT would do: stages, networks, jobs, memory, disk, time. Nothing is run."""
    _, plan = plan_document(document, pseudo=pseudo_data)
    if as_json:
        click.echo(json.dumps(plan_summary(plan), indent=1))
        return
    click.echo(plan_table(plan))
    if units:
        click.echo("\n" + unit_table(plan))
