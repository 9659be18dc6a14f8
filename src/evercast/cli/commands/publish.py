"""``evercast publish``: what a finished run gives to the public."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evercast.publication.publication import PublicationRequest, publish

__all__ = ["command"]


@click.command(
    name="publish",
    short_help="Publish a finished run: bundle, workspace, HEPData submission, archive.",
    epilog="Example: evercast publish specs/toy/analysis.yaml",
)
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), help="Run folder; results/NAME by default.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder to make; publication in the run folder.")
@click.option("--likelihood", "likelihoods", multiple=True, help="Only this one; may stand several times.")
@click.option("--part", "parts", multiple=True, help="Only this part (bundles, ...); may stand several times.")
@click.option("--sign", "key", type=click.Path(path_type=Path), help="PEM file of an Ed25519 private key to sign with.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON on stdout.")
def command(
    *,
    document: Path,
    results: Path | None,
    output: Path | None,
    likelihoods: tuple[str, ...],
    parts: tuple[str, ...],
    key: Path | None,
    as_json: bool,
) -> None:
    """Publish the run of DOCUMENT.

    Nothing is changed that is published already: the same content is left alone, other content is refused.
    """
    done = publish(
        PublicationRequest(
            document=document, results=results, output=output, likelihoods=likelihoods, parts=parts, key=key
        )
    )
    if as_json:
        body = {"folder": str(done.folder), "written": done.written, "bytes": done.size_bytes, "files": done.files}
        click.echo(json.dumps(body, indent=1))
        return
    what = "published" if done.written else "published already, nothing changed"
    click.echo(f"{what}: {done.folder}, {len(done.files)} files, {done.size_bytes / 1e6:.1f} MB")
    for folder in sorted({str(Path(*Path(name).parts[:2])) for name in done.files if "/" in name}):
        click.echo(f"  {done.folder / folder}")
