"""Entries of the catalogue as the commands print them."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evercast.reinterpretation.catalogue.model import Entry
    from evercast.reinterpretation.wrapped.model import WrappedAnalysis

__all__ = ["described", "print_entries"]


def print_entries(entries: Sequence[Entry], *, as_json: bool) -> None:
    """Print a list of entries."""
    if as_json:
        from evercast.reinterpretation.catalogue.model import entry_to_json

        click.echo(json.dumps([entry_to_json(entry) for entry in entries], indent=1, ensure_ascii=False))
        return
    if not entries:
        click.echo("nothing found; evercast catalogue add FOLDER")
        return
    for entry in entries:
        click.echo("\n".join(_short(entry)))


def _short(entry: Entry) -> Iterator[str]:
    version = f" v{entry.version}" if entry.version else ""
    older = "" if entry.newest else ", not the newest"
    yield f"{entry.name}  {(entry.digest or '')[:12]}  {entry.kind}{version}{older}"
    if entry.problem is not None:
        yield f"  cannot be used: {entry.problem.splitlines()[0]}"
        return
    yield f"  {entry.experiment}: {entry.title}" if entry.experiment else f"  {entry.title}"
    if entry.url is not None:
        yield f"  not here: {entry.url}; listed in {entry.index}"
        return
    yield f"  wants: {', '.join(entry.inputs)}; shows: {entry.disclosure}; {entry.replayed}"


def described(entry: Entry, *, as_json: bool) -> None:
    """Print all that is known of an entry; of a wrapped likelihood what stands in its document too."""
    analysis = _analysis(entry)
    if as_json:
        from evercast.reinterpretation.catalogue.model import entry_to_json
        from evercast.reinterpretation.wrapped.model import analysis_to_json

        document = {} if analysis is None else analysis_to_json(analysis)
        body = {**document, "digest": entry.digest, "entry": entry_to_json(entry)}
        click.echo(json.dumps(body, indent=1, ensure_ascii=False))
        return
    lines = [f"{entry.name}: {entry.title}", f"{entry.kind}{f', version {entry.version}' if entry.version else ''}"]
    lines += [f"sha256 {entry.digest}"] if entry.digest else []
    lines += [f"{entry.experiment}"] if entry.experiment else []
    lines += [f"final state: {text}" for text in entry.signatures]
    lines += [f"{what}: {text}" for what, text in entry.facts]
    lines += [] if analysis is None else _likelihoods(analysis)
    lines += [
        f"shows: {entry.disclosure}", f"may be asked with: {', '.join(entry.inputs)}", f"replay: {entry.replayed}",
        f"place: {entry.url or entry.path}",
    ]  # fmt: skip
    lines += [f"problem: {entry.problem}"] if entry.problem else []
    lines += [f"{what}:\n  {text}" for what, text in entry.commands]
    click.echo("\n".join(lines))


def _analysis(entry: Entry) -> WrappedAnalysis | None:
    if entry.kind != "wrapped likelihood" or entry.problem is not None:
        return None
    from evercast.reinterpretation.wrapped.read import read_wrapped

    return read_wrapped(entry.path)


def _likelihoods(analysis: WrappedAnalysis) -> list[str]:
    lines: list[str] = []
    for key, regions in analysis.likelihoods.items():
        channels = ", ".join(f"{channel} ({bins})" for channel, bins in regions.channels.items())
        title = f" ({regions.title})" if regions.title else ""
        lines += [
            f"likelihood {key}{title}: {len(regions.patches)} signal points",
            f"  background sha256 {regions.background.sha256}",
            f"  channels (bins): {channels}",
        ]
    return lines
