"""``evercast request``: a question to a preserved analysis, from its draft to its answer."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evercast.cli.requests_shown import (
    CORES,
    FOLDER,
    JSON,
    KEY,
    PROFILE,
    answer_and_show,
    opened_analysis,
)  # fmt: skip

if TYPE_CHECKING:
    from evercast.reinterpretation.requests.declared import DeclaredSignal

__all__ = ["command"]

_ANALYSIS = click.option(
    "--analysis", help="Document or folder of the analysis. [default: looked up by name in the catalogue]"
)


@click.group(name="request", short_help="Ask a preserved analysis: is my signal excluded?")
def command() -> None:
    """A request is a folder: request.yaml, its history, its results and its responses.

    It is a draft, then submitted, accepted, running, and answered or refused with a reason.
    """


@command.command(epilog="Example: evercast request new my-scan --analysis atlas-susy-2018-04")
@FOLDER
@click.option("--analysis", required=True, help="Name in the catalogue, digest, document or folder of the analysis.")
@click.option("--likelihood", help="Set of regions. [default: the first one of the analysis]")
@click.option("--point", "points", multiple=True, help="A signal point of the record; may be repeated. [default: all]")
@click.option("--name", help="Short name of the request. [default: that of the folder]")
@KEY
@JSON
def new(
    *, folder: Path, analysis: str, likelihood: str | None, points: tuple[str, ...], name: str | None,
    key: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Make FOLDER with a draft; what may be asked stands in it as comments.

    That of a published likelihood runs as it is; that of the archive of a run waits for a signal.
    """
    import re

    from evercast.reinterpretation.requests.draft import draft_text
    from evercast.reinterpretation.requests.run import new_request
    from evercast.reinterpretation.wrapped.data import RecordData

    data = opened_analysis(analysis)
    chosen = name or re.sub(r"[^a-z0-9_-]+", "-", f"r-{folder.resolve().name.lower()}").removeprefix("r-")
    chosen = chosen if re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", chosen) else "my-request"
    if isinstance(data, RecordData):
        text = draft_text(data.analysis, name=chosen, likelihood=likelihood, points=points)
    else:
        from evercast.reinterpretation.requests.draft_archive import archive_draft_text

        text = archive_draft_text(data, name=chosen, likelihood=likelihood, points=points)
    document = new_request(folder, text, key=key)
    if as_json:
        click.echo(json.dumps({"document": str(document), "state": "draft"}, indent=1))
        return
    click.echo(f"{document}: a draft; edit it, then evercast request run {folder}")


@command.command(epilog="Example: evercast request check my-scan")
@FOLDER
@_ANALYSIS
@JSON
def check(*, folder: Path, analysis: str | None, as_json: bool) -> None:
    """Check the request in FOLDER against its analysis, data and patches included; nothing is written or run."""
    from evercast.cli.requests_shown import analysis_of, announce_reading
    from evercast.reinterpretation.requests.run import check_request
    from evercast.reinterpretation.wrapped.data import RecordData

    asked = analysis_of(folder, analysis)
    announce_reading(folder, as_json=as_json)
    resolved = check_request(folder, asked)
    if isinstance(asked, RecordData):
        names = [point.name for point in resolved.points]
        body = {
            "analysis": resolved.analysis.name, "digest": resolved.digest, "likelihood": resolved.likelihood,
            "background": resolved.regions.background.sha256, "points": names,
            "signals": _signals({point.name: point.signal for point in resolved.points if point.signal is not None}),
        }  # fmt: skip
    else:
        names = list(resolved.request.signal.points)
        body = {
            "analysis": asked.version.record.name, "digest": asked.version.bag.id, "likelihood": resolved.likelihood,
            "background": None, "points": names, "signals": _signals(resolved.signals),
        }  # fmt: skip
    if as_json:
        click.echo(json.dumps(body, indent=1))
        return
    count = len(names)
    click.echo(
        f"valid: {count} signal point{'' if count == 1 else 's'} for {body['analysis']}, {body['likelihood']}\n"
        f"analysis sha256 {body['digest']}"
    )
    if body["background"]:
        click.echo(f"background sha256 {body['background']}")
    for name, told in body["signals"].items():
        for remark in told["remarks"]:
            click.echo(f"{name}: {remark}")


def _signals(signals: Mapping[str, DeclaredSignal]) -> dict[str, Any]:
    """Return what the files of the signals hold, by point."""
    return {
        name: {
            "files": len(signal.inputs), "effective_events": signal.effective_events,
            "cross_section_pb": signal.cross_section_pb, "file_cross_section_pb": signal.file_cross_section_pb,
            "remarks": list(signal.remarks),
        }
        for name, signal in signals.items()
    }  # fmt: skip


@command.command(epilog="Example: evercast request submit my-scan")
@FOLDER
@_ANALYSIS
@KEY
@JSON
def submit(*, folder: Path, analysis: str | None, key: Path | None, as_json: bool) -> None:
    """Freeze the request in FOLDER for whoever answers it with `evercast respond`."""
    from evercast.cli.requests_shown import analysis_of, announce_reading
    from evercast.reinterpretation.requests.run import submit_request

    asked = analysis_of(folder, analysis)
    announce_reading(folder, as_json=as_json)
    frozen = submit_request(folder, asked, key=key)
    if as_json:
        click.echo(json.dumps({"run": frozen.run, "state": "submitted"}, indent=1))
        return
    click.echo(f"submitted: run {frozen.run[:12]}; next: evercast respond {folder}")


@command.command(epilog="Example: evercast request run my-scan")
@FOLDER
@_ANALYSIS
@CORES
@PROFILE
@KEY
@JSON
@click.pass_context
def run(
    context: click.Context, *, folder: Path, analysis: str | None, cores: int | None, profile: str, key: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Submit the request in FOLDER and answer it: only points without a result are computed."""
    from evercast.cli.requests_shown import analysis_of, announce_reading
    from evercast.reinterpretation.requests.run import submit_request

    asked = analysis_of(folder, analysis)
    announce_reading(folder, as_json=as_json)
    submit_request(folder, asked, key=key)
    context.exit(answer_and_show(folder, cores=cores, profile=profile, key=key, as_json=as_json))


@command.command(epilog="Example: evercast request status my-scan")
@FOLDER
@JSON
def status(*, folder: Path, as_json: bool) -> None:
    """Show the history of the request in FOLDER, and how many of its points have a result."""
    from evercast.cli.requests_shown import show_status

    show_status(folder, as_json=as_json)


@command.command(hidden=True)
@click.argument("batch")
@click.option("--run", "folder", type=click.Path(path_type=Path), default=Path(), help="Folder of the run.")
def batch(*, batch: str, folder: Path) -> None:
    """Compute the points of BATCH (called by the workflow)."""
    from evercast.reinterpretation.requests.engine import run_batch

    run_batch(folder, batch)
