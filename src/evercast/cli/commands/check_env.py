"""``evercast check-env``: what the machine of today would change in a replay."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

__all__ = ["command"]

_DIFFERS = 4
_UNFIT = 6


@click.command(
    name="check-env",
    short_help="Say what today's machine would change in a replay, before anything is run.",
    epilog="Example: evercast check-env results/toy/publication/archive",
)
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), default=Path(), help="Where the replay would be made.")
@click.option("--all", "everything", is_flag=True, help="Show what is the same too.")
@click.option("--json", "as_json", is_flag=True, help="Everything that was looked at, as JSON on stdout.")
@click.pass_context
def command(context: click.Context, *, archive: Path, output: Path, everything: bool, as_json: bool) -> None:
    """Compare packages, defaults, processor, images, inputs and room with those of ARCHIVE; nothing is run.

    The exit code is 0 where all is the same, 4 where something differs that may change numbers, and 6 where something
    is missing, so that a replay cannot run.
    """
    from evercast.reinterpretation.archived import open_archived  # noqa: PLC0415 - heavy
    from evercast.reinterpretation.environment import check_environment  # noqa: PLC0415 - likewise

    findings = check_environment(open_archived(archive), output=output)
    effects = {finding.effect for finding in findings}
    if as_json:
        body = {"archive": str(archive), "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(body, indent=1))
    else:
        for finding in findings:
            if everything or finding.effect != "same":
                mark = {"same": "  ", "may-change": "! ", "blocks": "X "}[finding.effect]
                text = f"  ({finding.text})" if finding.text else ""
                click.echo(f"{mark}{finding.kind:<10}{finding.name}: {finding.old} -> {finding.new}{text}")
        same = sum(finding.effect == "same" for finding in findings)
        changed = sum(finding.effect == "may-change" for finding in findings)
        missing = sum(finding.effect == "blocks" for finding in findings)
        click.echo(f"{same} the same, {changed} may change numbers, {missing} keep a replay from running")
    if "blocks" in effects:
        context.exit(_UNFIT)
    if "may-change" in effects:
        context.exit(_DIFFERS)
