"""``evercast lock``: pin what an analysis is made of."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["command"]


@click.command(
    name="lock",
    short_help="Pin inputs, images, packages and code of an analysis by their digests.",
    epilog="Example: evercast lock specs/toy/analysis.yaml",
)
@click.argument("document", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; compare what there is with the lock.")
@click.option("--json", "as_json", is_flag=True, help="The lock as JSON on stdout.")
def command(*, document: Path, check: bool, as_json: bool) -> None:
    """Write NAME.lock.json beside DOCUMENT: sha256 and size of every input, digests of images, packages and code.

    A run of a document that has a lock is refused, with exit code 5, where anything is not as locked.
    """
    from evercast.errors import InvalidInput  # noqa: PLC0415
    from evercast.runtime.lock_file import check_lock, lock_file, make_lock, write_lock  # noqa: PLC0415 - heavy
    from evercast.runtime.plans import plan_document  # noqa: PLC0415 - heavy
    from evercast.spec.codec import to_json  # noqa: PLC0415 - heavy

    analysis, plan = plan_document(document, pseudo=False)
    if check:
        lock = check_lock(analysis, plan, document=document)
        if lock is None:
            raise InvalidInput(
                "there is no lock", code="lock.missing", where=str(lock_file(document)),
                hint=f"evercast lock {document}",
            )  # fmt: skip
    else:
        lock = make_lock(analysis, plan, document=document)
        write_lock(lock, document=document)
    if as_json:
        click.echo(json.dumps(to_json(lock), indent=1))
        return
    click.echo(
        f"{lock_file(document)}: {len(lock.inputs)} inputs, {len(lock.images)} images, {len(lock.packages)} packages, "
        f"Python {lock.python}, evercast {lock.code.version}{': all as locked' if check else ''}"
    )
