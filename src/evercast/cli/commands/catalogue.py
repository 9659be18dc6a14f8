"""``evercast catalogue``: the preserved analyses that a user knows."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercast.cli.requests_shown import JSON, opened_analysis

if TYPE_CHECKING:
    from evercast.reinterpretation.requests.catalogue import Catalogue, Entry

__all__ = ["command"]


@click.group(name="catalogue", short_help="The preserved analyses that you know.")
def command() -> None:
    """The catalogue lists folders with preserved analyses; it is kept in your configuration folder."""


def _catalogue() -> Catalogue:
    from evercast.reinterpretation.requests.catalogue import catalogue_file, read_catalogue

    return read_catalogue(catalogue_file(os.environ))


@command.command("ls", epilog="Example: evercast catalogue ls")
@JSON
def list_all(*, as_json: bool) -> None:
    """List all analyses."""
    _print(_catalogue().entries(), as_json=as_json)


@command.command(epilog="Example: evercast catalogue search tau")
@click.argument("words", nargs=-1, required=True)
@JSON
def search(*, words: tuple[str, ...], as_json: bool) -> None:
    """List the analyses that say all WORDS of themselves: name, title, experiment, final states."""
    _print([entry for entry in _catalogue().entries() if entry.matches(words)], as_json=as_json)


@command.command(epilog="Example: evercast catalogue add specs")
@click.argument("folder", type=click.Path(path_type=Path))
@JSON
def add(*, folder: Path, as_json: bool) -> None:
    """Add FOLDER: the analyses in it and in the folders directly below it."""
    catalogue = _catalogue().with_folder(folder)
    _print([entry for entry in catalogue.entries() if folder.absolute() in entry.path.parents], as_json=as_json)


@command.command(epilog="Example: evercast catalogue rm specs")
@click.argument("name")
@JSON
def rm(*, name: str, as_json: bool) -> None:
    """Forget a folder, or that of the analysis NAME; the files stay."""
    catalogue = _catalogue().without(name)
    folders = [str(folder) for folder in catalogue.folders]
    click.echo(json.dumps({"folders": folders}, indent=1) if as_json else f"{len(folders)} folders are left")


@command.command(epilog="Example: evercast catalogue describe atlas-susy-2018-04")
@click.argument("name")
@JSON
def describe(*, name: str, as_json: bool) -> None:
    """Show what the wrapped likelihood NAME is, what may be asked of it, and the digests that a request names."""
    from evercast.reinterpretation.wrapped.model import analysis_digest, analysis_to_json

    analysis = opened_analysis(name).analysis
    digest = analysis_digest(analysis)
    if as_json:
        click.echo(json.dumps({"digest": digest, **analysis_to_json(analysis)}, indent=1, ensure_ascii=False))
        return
    metadata = analysis.metadata
    lines = [
        f"{analysis.name}: {analysis.title}",
        f"{metadata.experiment}, {metadata.beams} at {metadata.sqrt_s_tev:g} TeV, {metadata.luminosity_fb:g}/fb",
        *(f"final state: {text}" for text in metadata.signatures),
        f"sha256 {digest}",
        *(f"{what}: {text}" for what, text in (("doi", metadata.doi), ("paper", metadata.paper)) if text),
        f"licence {metadata.license}",
    ]
    if analysis.axes:
        lines.append("axes: " + ", ".join(f"{axis.name} [{axis.unit}]" for axis in analysis.axes))
    for key, regions in analysis.likelihoods.items():
        channels = ", ".join(f"{channel} ({bins})" for channel, bins in regions.channels.items())
        title = f" ({regions.title})" if regions.title else ""
        lines += [
            f"likelihood {key}{title}: {len(regions.patches)} signal points",
            f"  background sha256 {regions.background.sha256}",
            f"  channels (bins): {channels}",
        ]
    click.echo("\n".join(lines))


@command.command(epilog="Example: evercast catalogue check")
@click.argument("names", nargs=-1)
@JSON
@click.pass_context
def check(context: click.Context, *, names: tuple[str, ...], as_json: bool) -> None:
    """Check the documents of the wrapped likelihoods NAMES (all of them) and every file and patch they name.

    Exit code of the first problem; 0 where there is none.
    """
    from evercast.errors import EvercastError

    entries = [entry for entry in _catalogue().entries() if entry.kind == "wrapped likelihood"]
    targets = list(names) or [str(entry.path) for entry in entries]
    rows: list[dict[str, object]] = []
    code = 0
    for target in targets:
        try:
            data = opened_analysis(target)
            name, problems = data.analysis.name, data.problems()
        except EvercastError as err:
            name, problems = target, [err]
        code = code or next((problem.exit_code for problem in problems), 0)
        rows.append({"name": name, "problems": [problem.to_json() for problem in problems]})
        if not as_json:
            click.echo(f"{name}: {'all files and patches are as they must be' if not problems else problems[0]}")
            if len(problems) > 1:
                click.echo(f"  and {len(problems) - 1} more problems")
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    context.exit(code)


def _print(entries: Sequence[Entry], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_body(entry) for entry in entries], indent=1, ensure_ascii=False))
        return
    if not entries:
        click.echo("nothing found; evercast catalogue add FOLDER")
        return
    for entry in entries:
        click.echo(f"{entry.name}  {(entry.digest or '')[:12]}  {entry.kind}")
        if entry.problem is not None:
            click.echo(f"  cannot be read: {entry.problem.splitlines()[0]}")
            continue
        click.echo(f"  {entry.experiment}: {entry.title}")
        click.echo(f"  wants: {', '.join(entry.inputs)}; shows: {entry.disclosure}; {entry.replayed}")


def _body(entry: Entry) -> dict[str, object]:
    return {
        "name": entry.name, "kind": entry.kind, "title": entry.title, "digest": entry.digest,
        "experiment": entry.experiment, "signatures": list(entry.signatures), "inputs": list(entry.inputs),
        "disclosure": entry.disclosure, "replayed": entry.replayed, "path": str(entry.path), "problem": entry.problem,
    }  # fmt: skip
