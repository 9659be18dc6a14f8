"""``evercast migrate``: documents of older versions."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["command"]


@click.command(
    name="migrate",
    short_help="Bring a document of an older version to the present one.",
    epilog="Example: evercast migrate old.yaml --output analysis.yaml",
)
@click.argument("path", metavar="DOCUMENT", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Document to write; must not exist.")
@click.option("--json", "as_json", is_flag=True, help="What was found and the new document as JSON on stdout.")
def command(*, path: Path, output: Path | None, as_json: bool) -> None:
    """Bring DOCUMENT to the version that this evercast writes, and check it; the old file is not changed.

    DOCUMENT may be the folder of a bundle or of an archive too: their files are fixed for ever, so it is only said
    whether this evercast reads them, and through which steps. What is written is JSON, which is YAML too.
    """
    from evercast.artifacts.files import atomic_write_json  # noqa: PLC0415 - heavy
    from evercast.errors import InvalidInput, UsageError  # noqa: PLC0415 - with it
    from evercast.reinterpretation.migrate import STEPS, migrate  # noqa: PLC0415 - heavy

    found = migrate(path, steps=STEPS)
    if output is not None and found.fixed:
        raise UsageError("the files of bundles and archives are fixed; nothing of them is written", code="usage")
    if output is not None and (output.exists() or output.is_symlink()):
        raise InvalidInput("the document to write exists already", code="migrate.exists", where=str(output))
    if output is not None:
        atomic_write_json(output, found.body)
    if as_json:
        steps = [{"old": step.old, "new": step.new, "text": step.text} for step in found.steps]
        body = {"kind": found.kind, "old": found.old, "new": found.new, "steps": steps, "document": found.body}
        click.echo(json.dumps(body, indent=1))
        return
    if not found.steps:
        click.echo(f"{found.file}: {found.kind} {found.old}, the present version; nothing to do")
    for step in found.steps:
        click.echo(f"{found.kind} {step.old} -> {step.new}: {step.text}")
    if found.steps:
        click.echo("read through these steps; its files stay" if found.fixed else f"{output or 'nothing'} written")
