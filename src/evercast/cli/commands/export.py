"""``evercast export``: an analysis in the form of another system."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from evercast.interop.reana import export_reana

__all__ = ["command"]


@click.group(name="export", short_help="Write an analysis in the form of another system.")
def command() -> None:
    """Write an analysis in the form of another system."""


@command.command(epilog="Example: evercast export reana specs/toy/analysis.yaml --output reana-toy --image IMAGE")
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder to write; must not exist.")
@click.option("--image", help="docker://NAME@sha256:DIGEST of an image with evercast; the document's by default.")
@click.option(
    "--pseudo-data", type=click.Choice(["never", "always"]), default="never", show_default=True,
    help="When to draw the observed events from simulation.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON on stdout.")
def reana(*, document: Path, output: Path, image: str | None, pseudo_data: str, as_json: bool) -> None:
    """Write DOCUMENT for REANA: reana.yaml, a Snakefile of shell commands, the frozen plan and the input files."""
    made = export_reana(document, folder=output, image=image, pseudo=pseudo_data == "always")
    if as_json:
        body = {"folder": str(made.folder), "image": made.image, "jobs": made.jobs, "files": list(made.files)}
        click.echo(json.dumps(body, indent=1))
        return
    click.echo(f"{made.folder}: {made.jobs} jobs in {made.image}, {len(made.files)} files")
    name = shlex.quote(output.resolve().name)
    click.echo(f"to run it: cd {shlex.quote(str(made.folder))} && reana-client run -w {name}")
