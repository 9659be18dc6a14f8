"""``evercast verify``: whether what was published is what it says, digest by digest and number by number."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from evercast.artifacts.key_ring import KeyRing, key_folder
from evercast.publication.verification import verify_path

__all__ = ["command"]


@click.command(
    name="verify",
    short_help="Verify a bundle, an archive or a pyhf file: digests, numbers, signature.",
    epilog="Example: evercast verify results/toy/publication/bundles/neural",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), help="Public key of who must have signed it.")
@click.option("--id", "expected_id", help="The id that it, or a version of the archive, must have.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def command(*, path: Path, key: Path | None, expected_id: str | None, as_json: bool) -> None:
    """Verify what PATH holds: a neural bundle, an archive (folder or tar), a pyhf workspace or patchset.

    Nothing in it is executed. Of a bundle the numbers are computed again and compared with its reference vectors. The
    exit code is 5 where something is not what it must be, 3 for an unknown version or a document that is not valid.
    """
    made = verify_path(path, key=key, keys=KeyRing(key_folder(os.environ)), expected_id=expected_id)
    if as_json:
        body = {
            "kind": made.kind, "path": str(made.path), "id": made.id, "signed_by": list(made.signed_by),
            "not_recomputed": list(made.not_recomputed),
            "checks": [{"name": one.name, "detail": one.detail, "worst": one.worst} for one in made.findings],
        }  # fmt: skip
        click.echo(json.dumps(body, indent=1))
        return
    click.echo(f"{made.kind} {made.path}")
    width = max((len(one.name) for one in made.findings), default=0)
    for one in made.findings:
        worst = "" if one.worst is None else f"; largest difference {one.worst:.2g} tolerances"
        click.echo(f"  {one.name:<{width}}  {one.detail}{worst}")
    click.echo(f"  {'id':<{width}}  {made.id or 'none: it is not published'}")
    signed = ", ".join(made.signed_by)
    whose = "" if key is not None or made.known else " (whose key that is, is for you to know: --key demands one)"
    click.echo(f"  {'signature':<{width}}  {f'{signed}{whose}' if signed else 'nobody signed it'}")
    if made.not_recomputed:
        click.echo("not computed again, only compared with its digest:")
    for text in made.not_recomputed:
        click.echo(f"  {text}")
    click.echo("all is as it must be" if not made.not_recomputed else "all that was checked is as it must be")
