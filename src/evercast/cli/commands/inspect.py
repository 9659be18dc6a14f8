"""``evercast inspect``: what was published, in a few lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

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
    for line in _lines(found):
        click.echo(line)


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
