"""The pages of one request: its form, its document, how far it is, its response."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from werkzeug.exceptions import NotFound
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from evercast.errors import EvercastError, InvalidDocument, InvalidInput
from evercast.serve.folders import Document, document_text, read_text, write_text
from evercast.serve.form_values import entries_of, represents, to_form
from evercast.serve.forms import Trouble, build_form, free_key, walk
from evercast.serve.known import asked_entry, identity
from evercast.serve.pages import page, shown_document
from evercast.serve.places import SideFile, digest_of, known_digest
from evercast.serve.progress import progress_of, responses_of
from evercast.serve.records import Record, read_record, troubles_of
from evercast.serve.shapes import Shape, shape_of_document
from evercast.serve.site import Site
from evercast.serve.uploads import FILES, keep_upload, remove_upload
from evercast.spec.reader import parse_document

__all__ = [
    "cancel", "document", "document_sent", "form", "form_sent", "overview", "response_file", "run", "status",
]  # fmt: skip

_KIND: Final = "request"
_MOST_FIELDS: Final = 4000
"""Fields of a form that a browser still shows well; a larger grid is edited as text."""
_READ_AT_ONCE: Final = 100_000_000
"""Bytes of a file that a page waits for."""
_CHECK_SECONDS: Final = 20.0
"""How long a page waits for a check before it shows that it goes on."""


def overview(site: Site, _: Request, *, name: str) -> Response:
    """Show how far a request is, its history and its responses."""
    folder = site.requests.folder(name)
    progress = progress_of(folder, site.jobs)
    last = progress.last
    overtaken = last is None or (progress.state == "answered" and progress.history[-1].time >= (last.ended or ""))
    troubles = () if last is None or overtaken else troubles_of(last.error)
    return page(
        site, "request", name=name, progress=progress, responses=responses_of(folder), troubles=troubles,
        asked=_asked(folder),
    )  # fmt: skip


def _asked(folder: Path) -> Mapping[str, str]:
    """Return what a request says of itself; nothing where its document cannot be read."""
    try:
        values = to_form(shape_of_document(_KIND), parse_document(read_text(folder).text.encode()).value)
    except EvercastError:
        return {}
    return {"title": values.get("/title", ""), "analysis": values.get("/analysis/name", "")}


def status(site: Site, _: Request, *, name: str) -> Response:
    """Return how far a request is, for the script of its page."""
    progress = progress_of(site.requests.folder(name), site.jobs)
    body = {
        "state": progress.state, "done": progress.done, "total": progress.total, "active": progress.is_active,
        "checking": progress.checking, "mark": progress.mark, "stages": [str(stage) for stage in progress.stages],
    }  # fmt: skip
    return Response(json.dumps(body), mimetype="application/json")


def run(site: Site, _: Request, *, name: str) -> Response:
    """Submit a request as it stands and answer it; where that goes on already nothing is begun."""
    folder = site.requests.folder(name)
    _begin(site, folder)
    return redirect(f"/requests/{name}", 303)


def _begin(site: Site, folder: Path) -> None:
    progress = progress_of(folder, site.jobs)
    if progress.elsewhere is not None:
        message = f"another process works on this request: {progress.elsewhere}"
        raise InvalidInput(message, code="request.locked", hint="wait until it has ended")
    site.jobs.start(folder, "run", document=read_text(folder).digest)


def cancel(site: Site, _: Request, *, name: str) -> Response:
    """Stop the run of a request; what is computed is kept."""
    site.jobs.cancel(site.requests.folder(name))
    return redirect(f"/requests/{name}", 303)


def form(site: Site, _: Request, *, name: str) -> Response:
    """Show the form of a request, with the problems that its last check found."""
    folder = site.requests.folder(name)
    text = read_text(folder)
    shape = shape_of_document(_KIND)
    values = _values(shape, text)
    if values is None:
        return redirect(f"/requests/{name}/document", 303)
    files = site.requests.files(folder)
    checked = _checked(site, folder, text)
    troubles = () if checked is None else troubles_of(checked.error)
    root, left = build_form(shape, values, troubles, [file.path for file in files])
    listed = [(file, _shown_digest(folder, file), file.path.startswith(f"{FILES}/")) for file in files]
    return page(
        site, "form", name=name, root=root, left=left, files=listed, digest=text.digest, checked=checked,
        troubled=[(field, trouble) for field in walk(root) for trouble in field.troubles],
        progress=progress_of(folder, site.jobs), limit=site.limits.file_bytes, analysis=_analysis(site, values),
    )  # fmt: skip


def _shown_digest(folder: Path, file: SideFile) -> str:
    """Return the digest of a file; that of a large one is computed only once it is chosen."""
    if file.size_bytes <= _READ_AT_ONCE:
        return digest_of(folder, file.path)[0]
    return known_digest(folder, file.path) or ""


def _analysis(site: Site, values: Mapping[str, str]) -> str | None:
    """Return the identity of the analysis that is asked; None where the catalogue does not know it."""
    entry = asked_entry(site, name=values.get("/analysis/name", ""), digest=values.get("/analysis/digest", ""))
    return None if entry is None else identity(entry)


def _values(shape: Shape, text: Document) -> Mapping[str, str] | None:
    """Return what stands in the form; None where a form cannot hold the document."""
    try:
        body = parse_document(text.text.encode()).value
    except InvalidDocument:
        return None
    values = to_form(shape, body)
    return values if len(values) <= _MOST_FIELDS and represents(shape, body) else None


def _checked(site: Site, folder: Path, text: Document) -> Record | None:
    """Return the last check, or the run that failed, of the document as it stands; None where there is none."""
    found = [read_record(folder, "check"), read_record(folder, "run")]
    ended = [one for one in found if one is not None and one.ended is not None and one.document == text.digest]
    ended = [one for one in ended if one.kind == "check" or (one.error is not None and not one.cancelled)]
    if site.jobs.active(folder, "check") is not None:
        return None
    return max(ended, key=lambda one: one.ended or "", default=None)


def form_sent(site: Site, request: Request, *, name: str) -> Response:
    """Keep what a form says, and do what its button says.

    Raises:
        InvalidInput: ``serve.changed``: the document was changed meanwhile; a file that cannot be kept.
    """
    folder = site.requests.folder(name)
    action, _, what = request.form.get("do", "save").partition(":")
    sent = {key: value for key, value in request.form.items() if key.startswith("/")}
    shape = shape_of_document(_KIND)
    anchor = _edited(shape, sent, action, what)
    with site.writing:
        if read_text(folder).digest != request.form.get("digest"):
            message = "the request was changed meanwhile, in another window or on the command line; nothing was kept"
            raise InvalidInput(message, code="serve.changed", where=name, hint="load the form again")
        text = write_text(folder, document_text(shape, sent, folder))
    _kept(site, request, folder, action, what)
    if action == "submit":
        _begin(site, folder)
        return redirect(f"/requests/{name}", 303)
    if action == "check":
        _check(site, folder, text)
    return redirect(f"/requests/{name}/form{anchor}", 303)


def _edited(shape: Shape, sent: dict[str, str], action: str, what: str) -> str:
    """Add an entry to a map or list, or remove one; return the anchor of the place on the page."""
    if action == "add":
        fields = {field.name: field for field in walk(build_form(shape, sent)[0])}
        place = fields.get(what)
        if place is None or place.kind not in {"map", "list"}:
            raise InvalidInput("the form has no such place", code="serve.form", where=what)
        number = max(entries_of(sent, what), default=-1) + 1
        key = free_key(what.rpartition("/")[2], [child.key or "" for child in place.children])
        sent[f"{what}/{number}#"] = key if place.kind == "map" else ""
        return f"#{place.id}"
    if action == "remove":
        for key in [key for key in sent if key in {f"{what}#", what} or key.startswith(f"{what}/")]:
            del sent[key]
        return ""
    return {"upload": "#files", "remove-file": "#files", "check": "#top"}.get(action, "")


def _kept(site: Site, request: Request, folder: Path, action: str, what: str) -> None:
    """Keep the files that came with a form, remove one where its button says so."""
    if action == "remove-file":
        if site.jobs.active(folder, "run") is not None:
            message = "a run goes on; files stay until it has ended"
            raise InvalidInput(message, code="serve.run-goes-on", where=what)
        remove_upload(folder, what)
        return
    with site.uploading:
        for file in request.files.getlist("upload"):
            if file.filename:
                keep_upload(folder, file.filename, file.stream, site.limits)


def _check(site: Site, folder: Path, text: Document) -> None:
    site.jobs.start(folder, "check", document=text.digest)
    site.jobs.wait(folder, "check", seconds=_CHECK_SECONDS)


def document(site: Site, _: Request, *, name: str) -> Response:
    """Show the document of a request as text."""
    folder = site.requests.folder(name)
    text = read_text(folder)
    has_form = _values(shape_of_document(_KIND), text) is not None
    checked = _checked(site, folder, text)
    troubles: tuple[Trouble, ...] = () if checked is None else troubles_of(checked.error)
    return page(
        site, "document", name=name, text=text.text, digest=text.digest, has_form=has_form, troubles=troubles,
        checked=checked, progress=progress_of(folder, site.jobs),
    )  # fmt: skip


def document_sent(site: Site, request: Request, *, name: str) -> Response:
    """Keep a document that was edited as text.

    Raises:
        InvalidInput: ``serve.changed``.
    """
    folder = site.requests.folder(name)
    with site.writing:
        if read_text(folder).digest != request.form.get("digest"):
            message = "the request was changed meanwhile; nothing was kept"
            raise InvalidInput(message, code="serve.changed", where=name, hint="load the page again")
        text = write_text(folder, request.form.get("text", ""))
    if request.form.get("do") == "check":
        _check(site, folder, text)
    return redirect(f"/requests/{name}/document", 303)


def response_file(site: Site, _: Request, *, name: str, run: str, path: str) -> Response:
    """Show a file of a response: the page in the browser, the others to be kept."""
    folder = site.requests.folder(name)
    found = next((response for response in responses_of(folder) if response.run == run), None)
    if found is None or path not in found.files:
        raise NotFound("The response has no such file.")
    return shown_document(folder, ("responses", run, *path.split("/")))
