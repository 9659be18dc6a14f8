"""``evercast schema``: the JSON Schemas that documents follow."""

from __future__ import annotations

import json

import click

from evercast import schemas
from evercast.errors import UsageError

__all__ = ["command"]


@click.command(
    name="schema",
    short_help="Print the JSON Schema of a kind of document.",
    epilog="Example: evercast schema analysis",
)
@click.argument("kind", required=False)
@click.option("--list", "list_kinds", is_flag=True, help="Print the kinds there are.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON; a schema is JSON in any case.")
def command(kind: str | None, *, list_kinds: bool, as_json: bool) -> None:
    """Print the JSON Schema (2020-12) of KIND.

    analysis, parametrisation and combination are documents that people write; neural-likelihood and diagnostics are
    files that a run makes; common holds the definitions they share.
    """
    if list_kinds:
        names = [f"{name}/{schemas.VERSION}" for name in schemas.KINDS]
        click.echo(json.dumps({"schemas": names}) if as_json else "\n".join(names))
        return
    if kind is None:
        raise UsageError(f"name a kind: {', '.join(schemas.KINDS)}", code="schema.unknown")
    click.echo(schemas.schema_text(kind), nl=False)
