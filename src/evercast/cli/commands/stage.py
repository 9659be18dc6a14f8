"""``evercast stage``: what the rules of the workflow call."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click

from evercast.runtime.batches import execute_job
from evercast.runtime.job_logs import append_to_log
from evercast.runtime.plans import read_plan

__all__ = ["command"]


@click.command(epilog="Example: evercast stage fit --plan results/toy/work/plans/0123456789abcdef/plan.json --unit ID")
@click.argument("name")
@click.option("--plan", "plan_file", required=True, type=click.Path(path_type=Path), help="The frozen plan.json.")
@click.option("--unit", "unit_id", help="Id of the unit, or of a batch of units; all stages but export need it.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Cores the stage may use.")
@click.option("--gpus", default=0, show_default=True, type=click.IntRange(min=0), help="GPUs given to the stage.")
@click.option("--log", is_flag=True, help="Append what is said to the log of the unit or batch in the run folder.")
@click.option("--json", "as_json", is_flag=True, help="Errors as JSON on stdout.")
def command(
    *, name: str, plan_file: Path, unit_id: str | None, threads: int, gpus: int, log: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run one unit or one batch of units of stage NAME, or publish the results of a plan with NAME export."""
    if name == "export":
        from evercast.publication.publish import publish_run  # noqa: PLC0415 - heavy, and only at the end

        for path in publish_run(read_plan(plan_file)):
            click.echo(str(path))
        return
    if log:
        append_to_log(plan_file, stage=name, job=unit_id or "", output=not as_json)
    logger = logging.getLogger("evercast")
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))  # the log says what was done, also without -v
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", str(threads))
    execute_job(plan_file, unit_id or "", stage=name, threads=threads, gpus=gpus)
