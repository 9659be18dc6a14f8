"""``evercast run``: run an analysis, or resume it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from evercast.artifacts.files import read_json
from evercast.errors import RunFailed
from evercast.plan import Unit
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.pseudo import bring_sources, decide_pseudo_data
from evercast.runtime.receipts import read_receipt
from evercast.runtime.run import Outcome, prepare_run, run_plan, snakemake_command
from evercast.runtime.status import run_status

__all__ = ["command"]


@click.command(
    context_settings={"ignore_unknown_options": False},
    epilog="Example: evercast run specs/h4l/analysis.yaml --cores 4 -- --quiet",
)
@click.argument("document", type=click.Path(path_type=Path))
@click.argument("snakemake_arguments", nargs=-1)
@click.option("--profile", default="default", show_default=True, help="Where jobs run: a profile's name or folder.")
@click.option("--cores", type=click.IntRange(min=1), help="Cores of this machine; the profile decides by default.")
@click.option("--results", type=click.Path(path_type=Path), help="Run folder; results/NAME by default.")
@click.option(
    "--pseudo-data",
    type=click.Choice(["never", "if-unavailable", "always"]),
    default="never",
    show_default=True,
    help="When to draw the observed events from simulation instead of using the public ones.",
)
@click.option("--repair", is_flag=True, help="Verify what is finished first, and make anew what is damaged.")
@click.option("--dry-run", is_flag=True, help="Show what would be run, and let Snakemake check it.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON on stdout.")
def command(  # noqa: PLR0913 - one argument an option
    *, document: Path, snakemake_arguments: tuple[str, ...], profile: str, cores: int | None, results: Path | None,
    pseudo_data: str, repair: bool, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run the analysis in DOCUMENT; what is finished and unchanged is not run again. Words after -- go to Snakemake."""
    pseudo, reason = decide_pseudo_data(document, mode=pseudo_data)
    frozen = prepare_run(document, results=results, pseudo=pseudo)
    call = snakemake_command(frozen, document=document, profile=profile, cores=cores, extra=snakemake_arguments)
    if dry_run:
        _dry_run(frozen, call, as_json=as_json)
        return
    say = _silent if as_json else _on_stderr
    say(f"{frozen.plan.name}: {len(frozen.plan.units)} units in {frozen.folder.root}; {reason}")
    bring_sources(frozen)
    outcome = run_plan(frozen, call, observe=_progress(frozen, say=say), repair=repair)
    if as_json:
        click.echo(json.dumps(_body(outcome), indent=1))
    else:
        _conclude(outcome)


def _silent(text: str) -> None:
    """Say nothing: stdout is JSON, and stderr is for errors."""


def _on_stderr(text: str) -> None:
    click.echo(text, err=True)


def _progress(frozen: FrozenPlan, *, say: Callable[[str], None]) -> Callable[[Unit], None]:
    """Return what to call with each finished unit: bars on a terminal, lines elsewhere."""
    if say is _on_stderr and sys.stderr.isatty():
        from evercast.cli.progress import StageBars  # noqa: PLC0415 - only a terminal needs tqdm

        return StageBars(frozen).finished

    total = len(frozen.plan.units)
    done = sum(frozen.folder.receipt(unit).exists() for unit in frozen.plan.units)

    def finished(unit: Unit) -> None:
        nonlocal done
        done += 1
        seconds = read_receipt(frozen.folder.receipt(unit)).seconds
        say(f"[{done:>{len(str(total))}}/{total}] {unit.stage:<19} {unit.name}  {seconds:.1f} s")

    return finished


def _dry_run(frozen: FrozenPlan, call: list[str], *, as_json: bool) -> None:

    todo = [item.unit for item in run_status(frozen.plan, folder=frozen.folder) if item.state != "done"]
    checked = subprocess.run([*call, "--dry-run", "--quiet"], capture_output=True, text=True, check=False)  # noqa: S603
    if checked.returncode != 0:
        raise RunFailed(f"Snakemake refuses the plan:\n{checked.stderr[-3000:]}", code="run.workflow-failed")
    if as_json:
        units = [{"id": unit.id, "stage": unit.stage} for unit in todo]
        click.echo(json.dumps({"plan": frozen.plan.digest, "units": units}, indent=1))
        return
    for unit in todo:
        click.echo(f"{unit.stage:<14}{unit.id}")
    click.echo(f"{len(todo)} of {len(frozen.plan.units)} units would be run")


def _body(outcome: Outcome) -> dict[str, Any]:
    folder = outcome.frozen.folder
    return {
        "name": outcome.frozen.plan.name,
        "plan": outcome.frozen.plan.digest,
        "pseudo_data": outcome.frozen.plan.pseudo,
        "folder": str(folder.root),
        "units": len(outcome.frozen.plan.units),
        "ran": [unit.id for unit in outcome.ran],
        "seconds": round(outcome.seconds, 3),
        "results": sorted(path.name for path in folder.root.iterdir() if path != folder.work),
    }


def _conclude(outcome: Outcome) -> None:
    """Print the table of results and where everything is."""
    from evercast.publication.gate import publication_line  # noqa: PLC0415 - numpy, and only at the end
    from evercast.publication.summary import results_table  # noqa: PLC0415 - likewise

    root = outcome.frozen.folder.root
    fit = read_json(root / "fit.json") if (root / "fit.json").exists() else None
    click.echo(f"\n{len(outcome.ran)} of {len(outcome.frozen.plan.units)} units were run in {outcome.seconds:.0f} s")
    if outcome.frozen.plan.pseudo:
        click.echo("The observed events are SIMULATED PSEUDO-DATA, not collisions.")
    if isinstance(fit, dict):
        click.echo("\n" + results_table(fit) + "\n")
    checks = read_json(root / "diagnostics.json") if (root / "diagnostics.json").exists() else None
    if isinstance(checks, dict):
        click.echo(publication_line(checks) + "\n")
    for name in sorted(path.name for path in root.iterdir() if path != outcome.frozen.folder.work):
        click.echo(f"  {root / name}{'/' if (root / name).is_dir() else ''}")
