"""``evercast respond``: the answer to a submitted request."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from pathlib import Path

import click

from evercast.cli.requests_shown import CORES, JSON, KEY, PROFILE, answer_and_show

__all__ = ["command"]


@click.command(epilog="Example: evercast respond my-scan --cores 4")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--refuse", "reason", help="Refuse the request for this reason instead.")
@CORES
@PROFILE
@KEY
@JSON
@click.pass_context
def command(
    context: click.Context, *, folder: Path, reason: str | None, cores: int | None, profile: str, key: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Answer the submitted request in FOLDER from its frozen copies, or refuse it.

    The response is response.json, response.html and patchset.json with the background that it belongs to.
    """
    if reason is None:
        context.exit(answer_and_show(folder, cores=cores, profile=profile, key=key, as_json=as_json))
    import json

    from evercast.reinterpretation.requests.run import refuse_request

    state = refuse_request(folder, reason, key=key)
    body = {"state": state.state, "reason": state.reason, "run": state.run}
    click.echo(json.dumps(body, indent=1) if as_json else f"refused: {reason}")
