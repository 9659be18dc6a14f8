"""``evercast respond``: the answer to a submitted request."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from pathlib import Path

import click

from evercast.cli.requests_shown import CORES, FOLDER, JSON, KEY, PROFILE, answer_and_show

__all__ = ["command"]


@click.command(epilog="Example: evercast respond my-scan --cores 4")
@FOLDER
@click.option("--refuse", "reason", help="Refuse the request for this reason instead.")
@click.option("--fresh", is_flag=True, help="Compute all again: take no result that lies in FOLDER.")
@CORES
@PROFILE
@KEY
@JSON
@click.pass_context
def command(
    context: click.Context, *, folder: Path, reason: str | None, fresh: bool, cores: int | None, profile: str,
    key: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Answer the submitted request in FOLDER from its frozen copies, or refuse it.

    The response is response.json, response.html and patchset.json with the background that it belongs to. Of a folder
    that somebody else sent take --fresh, and compare the digest of the analysis in the response with yours.
    """
    if reason is None:
        if fresh:
            from evercast.reinterpretation.requests.run import forget_results

            forget_results(folder)
        context.exit(answer_and_show(folder, cores=cores, profile=profile, key=key, as_json=as_json))
    import json

    from evercast.reinterpretation.requests.run import refuse_request

    state = refuse_request(folder, reason, key=key)
    body = {"state": state.state, "reason": state.reason, "run": state.run}
    click.echo(json.dumps(body, indent=1) if as_json else f"refused: {reason}")
