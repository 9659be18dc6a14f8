"""``evercast serve``: a page on this machine to browse the catalogue and to ask."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json
import os
from pathlib import Path

import click

__all__ = ["command"]


@click.command(name="serve", epilog="Example: evercast serve --open")
@click.option("--port", type=click.IntRange(1024, 65535), help="Port on 127.0.0.1. [default: a free one]")
@click.option(
    "--folder", type=click.Path(path_type=Path),
    help="Where requests lie, one folder each. [default: evercast/requests in $XDG_DATA_HOME or ~/.local/share]",
)  # fmt: skip
@click.option("--cores", type=click.IntRange(1), help="Cores of a run. [default: those that this process may use]")
@click.option(
    "--profile", help="Profile of Snakemake with which runs make events and train networks. [default: default]"
)
@click.option(
    "--upload-limit", type=click.IntRange(1, 1_000_000), default=2000, show_default=True,
    help="Largest file that may be uploaded, MB; the uploads of a request may have ten times as much.",
)  # fmt: skip
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser of this machine.")
@click.option("--json", "as_json", is_flag=True, help="The address and the folder of requests as one line of JSON.")
def command(
    *, port: int | None, folder: Path | None, cores: int | None, profile: str | None, upload_limit: int,
    open_browser: bool, as_json: bool,
) -> None:  # fmt: skip
    """Serve a page to browse the catalogue, fill in requests, follow them and read the responses.

    It listens on 127.0.0.1 alone, needs no network, and prints its address, which holds the key to it. Ctrl-C ends it
    and the runs that were begun there; what they have computed is kept.
    """
    from evercast.serve.folders import default_folder
    from evercast.serve.server import serve
    from evercast.serve.uploads import Limits

    def ready(address: str) -> None:
        click.echo(json.dumps({"address": address, "folder": str(place.absolute())}) if as_json else address)
        click.echo("Ctrl-C ends the page and the runs that were begun there", err=True)
        if open_browser:
            import webbrowser

            webbrowser.open(address)

    place = default_folder(os.environ) if folder is None else folder
    bytes_of_file = upload_limit * 1_000_000
    serve(
        port=port or 0,
        folder=place,
        limits=Limits(file_bytes=bytes_of_file, folder_bytes=10 * bytes_of_file),
        options=[*(("--cores", str(cores)) if cores else ()), *(("--profile", profile) if profile else ())],
        environ=dict(os.environ),
        ready=ready,
    )
