"""``evercast inspect``: what was published, in a few lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from evercast.publication.inspection import inspect_path

__all__ = ["command"]


@click.command(
    name="inspect",
    short_help="Say what a bundle, an archive or a pyhf file is.",
    epilog="Example: evercast inspect results/toy/publication/bundles/neural",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def command(*, path: Path, as_json: bool) -> None:
    """Say what PATH holds, after its digests were compared; numbers are not computed again (`evercast verify`)."""
    found = inspect_path(path)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for line in archive_lines(found["versions"]) if found["kind"] == "archive" else _lines(found):
        click.echo(line)


def archive_lines(versions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what an archive is in at most 40 lines, however many versions, inputs and units it has.

    Args:
        versions: entries of `inspect_path`, the oldest first.
    """
    record = versions[-1]["record"]
    yield "kind: archive"
    yield f"name: {_text(record['name'])}"
    yield f"evercast: {_text(record['code']['version'])}"
    yield f"pseudo data: {_text(record.get('pseudo_data', False))}"
    outside = sum(entry.get("file") is None for entry in record.get("inputs", ()))
    yield f"inputs: {len(record.get('inputs', ()))}, {outside} of them not in it, named by address and sha256"
    yield f"images: {len(record.get('images', ()))}"
    stages: dict[str, int] = {}
    for unit in record.get("units", ()):
        stages[str(unit["stage"])] = stages.get(str(unit["stage"]), 0) + 1
    shown = {stage: stages[stage] for stage in list(stages)[:20]}
    yield f"units: {sum(stages.values())} ({_text(shown)}{', …' if len(stages) > 20 else ''})"
    yield f"versions: {len(versions)}{', the newest 20 of them:' if len(versions) > 20 else ''}"
    for one in versions[-20:]:
        signed = f"signatures: {one['signatures']}" if one["signatures"] else "nobody signed it"
        name = _printable(str(one["name"])) or f"version {one['record']['version']}"
        yield f"  {name}: id {one['id']}, {one['files']} files, {one['size_bytes'] / 1e6:.1f} MB, {signed}"
    yield "digests are compared by evercast verify; everything in the record is in evercast inspect --json"


def _lines(found: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """Yield the entries as ``key: value``, nested ones below their key."""
    for key, value in found.items():
        name = f"{indent}{_printable(str(key)).replace('_', ' ')}"
        if isinstance(value, Mapping) and any(isinstance(item, Mapping) for item in value.values()):
            yield f"{name}:"
            yield from _lines(value, f"{indent}  ")
        elif isinstance(value, Sequence) and any(isinstance(item, Mapping) for item in value):
            yield f"{name}:"
            for item in value:
                yield from _lines(item, f"{indent}  ")
        else:
            yield f"{name}: {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_printable(str(key))} {_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _printable(str(value))


def _printable(text: str) -> str:
    """Return a text of a stranger without what would move the cursor or turn the direction of writing."""
    return "".join(character if character.isprintable() else "?" for character in text)
