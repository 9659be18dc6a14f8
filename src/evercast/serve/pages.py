"""The pages of preserved analyses, and the list of requests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from werkzeug.exceptions import NotFound
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import FileWrapper

from evercast.artifacts.files import parse_json
from evercast.errors import EvercastError, RunFailed, error_from_json
from evercast.serve.known import entries_of, entry_of, identity, regions_of, reports_of
from evercast.serve.places import open_below
from evercast.serve.progress import progress_of
from evercast.serve.render import render, style_sheet
from evercast.serve.security import DOCUMENT_HEADERS
from evercast.serve.site import Site

__all__ = ["analysis", "catalogue", "new_request", "page", "report", "requests", "shown_document", "static"]

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".html": "text/html", ".json": "application/json"}
_NEW_SECONDS: Final = 120.0


def page(site: Site, template: str, **values: object) -> Response:
    """Return a page made from a template."""
    return Response(render(template, {**site.common(), **values}), mimetype="text/html")


def catalogue(site: Site, request: Request) -> Response:
    """Show the analyses of the catalogue, those alone that say all words of ``q`` of themselves."""
    words = request.args.get("q", "")[:200]
    every = entries_of(site)
    found = [(entry, identity(entry)) for entry in every if entry.matches(words.split())]
    return page(site, "catalogue", entries=found, count=len(every), words=words)


def analysis(site: Site, _: Request, *, identity: str) -> Response:
    """Show an analysis: what it is, its pages, what can be asked."""
    entry = entry_of(site, identity)
    name = site.requests.free_name(re.sub(r"[^a-z0-9_-]", "-", entry.name.lower()).lstrip("0123456789_-") or "request")
    return page(
        site,
        "analysis",
        entry=entry,
        identity=identity,
        reports=reports_of(entry),
        name=name,
        regions=regions_of(entry),
    )


def report(site: Site, _: Request, *, identity: str, number: int) -> Response:
    """Show a page that lies with an analysis."""
    reports = reports_of(entry_of(site, identity))
    if number >= len(reports):
        raise NotFound("The analysis has no such page.")
    folder, parts, _what = reports[number]
    return shown_document(folder, parts)


def shown_document(folder: Path, parts: tuple[str, ...]) -> Response:
    """Return a file that evercast wrote, or somebody else: in the browser it can do nothing.

    Raises:
        InvalidInput: ``serve.no-file``.
        IntegrityError: ``serve.file-link``.
    """
    stream = open_below(folder, parts)
    kind = _TYPES.get(Path(parts[-1]).suffix, "application/octet-stream")
    response = Response(FileWrapper(stream), mimetype=kind, headers=dict(DOCUMENT_HEADERS), direct_passthrough=True)
    response.content_length = os.fstat(stream.fileno()).st_size
    if kind != "text/html":
        response.headers.set("Content-Disposition", "attachment", filename=parts[-1])
    return response


def static(_: Site, __: Request, *, name: str) -> Response:
    """Return a style sheet or the script of the pages."""
    content = style_sheet(name)
    if content is None:
        raise NotFound("There is no such file.")
    return Response(content, mimetype=_TYPES[Path(name).suffix])


def requests(site: Site, _: Request) -> Response:
    """Show the requests, the one that changed last first."""
    rows = [(name, progress_of(site.requests.folder(name), site.jobs)) for name in site.requests.names()[:500]]
    return page(site, "requests", rows=rows)


def new_request(site: Site, request: Request) -> Response:
    """Make a request with the draft that its analysis proposes, and lead to its form.

    Raises:
        EvercastError: as ``evercast request new`` says it.
    """
    entry = entry_of(site, request.form.get("analysis", ""))
    folder = site.requests.new_folder(request.form.get("name", "").strip())
    command = [
        sys.executable, "-P", "-m", "evercast", "request", "new", "--json", "--analysis", str(entry.path),
        "--name", folder.name, "--", str(folder),
    ]  # fmt: skip
    try:
        ended = subprocess.run(  # noqa: S603 - our own program, words that are checked
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_NEW_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as err:
        message = f"the draft was not made within {_NEW_SECONDS:g} s"
        raise RunFailed(message, code="serve.ended", hint="use evercast request new on the command line") from err
    if ended.returncode != 0:
        raise _error(ended)
    return redirect(f"/requests/{folder.name}/form", 303)


def _error(ended: subprocess.CompletedProcess[bytes]) -> EvercastError:
    body = parse_json(ended.stdout or b"{}", where="evercast request new")
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        return error_from_json(body["error"])
    words = ended.stderr.decode(errors="replace")[-1000:].strip()
    return RunFailed(f"the command ended with {ended.returncode}: {words}", code="serve.ended")
