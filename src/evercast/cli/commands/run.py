"""``evercast run``: run an analysis, or resume it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from evercast.artifacts.files import read_json
from evercast.cli.again import NextCommand
from evercast.cli.dry_run import ask_snakemake, find_todo
from evercast.cli.progress import observer_of
from evercast.runtime.lock_file import lock_line
from evercast.runtime.pseudo import bring_sources, decide_pseudo_data
from evercast.runtime.run import Outcome, prepare_run, run_plan, snakemake_command

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
    options = _options(profile, cores, snakemake_arguments)
    command_again = NextCommand(document=document, results=results, options=options, pseudo=pseudo)
    with command_again.in_hints():
        frozen = prepare_run(document, results=results, pseudo=pseudo)
        locked = lock_line(frozen, document=document)
        call = snakemake_command(frozen, document=document, profile=profile, cores=cores, extra=snakemake_arguments)
        if dry_run:
            dry = find_todo(frozen, repair=repair)
            ask_snakemake(call, folder=frozen.folder)
            click.echo(json.dumps(dry.to_json(), indent=1) if as_json else dry.text())
            return
        say = _silent if as_json else _on_stderr
        say(f"{frozen.plan.name}: {len(frozen.plan.units)} units in {frozen.folder.root}; {reason}")
        say(locked)
        bring_sources(frozen)
        observer = observer_of(frozen, say=say, quiet=as_json)
        outcome = run_plan(frozen, call, observer=observer, repair=repair, options=options)
    if as_json:
        click.echo(json.dumps(_body(outcome), indent=1))
    else:
        _conclude(outcome)


def _options(profile: str, cores: int | None, snakemake_arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Return the options of a run that whoever goes on with it gives again."""
    place = Path(profile)
    named = str(place.resolve()) if (place / "config.yaml").is_file() else profile
    return (
        *(() if profile == "default" else ("--profile", named)),
        *(() if cores is None else ("--cores", str(cores))),
        *(("--", *snakemake_arguments) if snakemake_arguments else ()),
    )


def _silent(text: str) -> None:
    """Say nothing: stdout is JSON, and stderr is for errors."""


def _on_stderr(text: str) -> None:
    click.echo(text, err=True)


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
    from evercast.publication.summary import expected_line, results_table  # noqa: PLC0415 - likewise

    root = outcome.frozen.folder.root
    fit = read_json(root / "fit.json") if (root / "fit.json").exists() else None
    click.echo(f"\n{len(outcome.ran)} of {len(outcome.frozen.plan.units)} units were run in {outcome.seconds:.0f} s")
    if outcome.frozen.plan.pseudo:
        click.echo("The observed events are SIMULATED PSEUDO-DATA, not collisions.")
    if isinstance(fit, dict):
        click.echo("\n" + results_table(fit) + "\n")
    checks = read_json(root / "diagnostics.json") if (root / "diagnostics.json").exists() else None
    if isinstance(checks, dict):
        click.echo("\n".join(filter(None, (expected_line(checks), publication_line(checks)))) + "\n")
    for name in sorted(path.name for path in root.iterdir() if path != outcome.frozen.folder.work):
        click.echo(f"  {root / name}{'/' if (root / name).is_dir() else ''}")
