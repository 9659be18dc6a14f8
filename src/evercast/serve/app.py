"""The pages as a WSGI application: who asks is checked first, then an address leads to one function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from werkzeug.exceptions import HTTPException, NotFound, RequestEntityTooLarge
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from evercast.errors import EvercastError
from evercast.serve import pages, request_pages
from evercast.serve.render import render
from evercast.serve.security import PAGE_HEADERS
from evercast.serve.site import Site

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["Application"]

_LOG = logging.getLogger(__name__)
_FORM_BYTES: Final = 16_000_000
"""Text of a form, without the files in it."""
_FORM_PARTS: Final = 20_000
_STATUS: Final = {2: 400, 3: 400, 4: 409, 5: 400, 6: 503, 7: 500, 70: 500}

_Page = Callable[..., Response]
_ROUTES: Final[tuple[tuple[str, str, _Page], ...]] = (
    ("GET", "/", pages.catalogue),
    ("GET", "/analyses/<identity>", pages.analysis),
    ("GET", "/analyses/<identity>/report/<int:number>", pages.report),
    ("GET", "/static/<name>", pages.static),
    ("GET", "/requests", pages.requests),
    ("POST", "/requests", pages.new_request),
    ("GET", "/requests/<name>", request_pages.overview),
    ("GET", "/requests/<name>/status", request_pages.status),
    ("POST", "/requests/<name>/run", request_pages.run),
    ("POST", "/requests/<name>/cancel", request_pages.cancel),
    ("GET", "/requests/<name>/form", request_pages.form),
    ("POST", "/requests/<name>/form", request_pages.form_sent),
    ("GET", "/requests/<name>/document", request_pages.document),
    ("POST", "/requests/<name>/document", request_pages.document_sent),
    ("GET", "/requests/<name>/responses/<run>/<path:path>", request_pages.response_file),
)


class _Request(Request):
    """A request whose parts are bounded."""

    max_form_memory_size = _FORM_BYTES
    max_form_parts = _FORM_PARTS


class Application:
    """The pages of a server.

    Args:
        site: what they show.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._pages: dict[str, _Page] = {}
        rules = []
        for method, address, page in _ROUTES:
            endpoint = f"{method} {address}"
            self._pages[endpoint] = page
            rules.append(Rule(address, endpoint=endpoint, methods=[method]))
        self._map = Map(rules, strict_slashes=False, merge_slashes=False, redirect_defaults=False)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        request = _Request(environ)
        response = self._answer(request)
        for name, value in PAGE_HEADERS.items():
            response.headers.setdefault(name, value)
        return response(environ, start_response)

    def _answer(self, request: _Request) -> Response:
        gate = self._site.gate
        headers = {key.lower(): value for key, value in request.headers.items()}
        if (problem := gate.host_problem(headers.get("host", ""))) is not None:
            return _plain(problem, 421)
        if request.method == "GET" and request.path == "/" and gate.opens(request.args.get("token", "")):
            return self._opened()
        if (problem := gate.problem(headers, changes=request.method not in {"GET", "HEAD"})) is not None:
            return _plain(problem, 403)
        return self._told(request)

    def _told(self, request: _Request) -> Response:
        """Return the page, or the error in our words."""
        try:
            return self._page(request)
        except EvercastError as err:
            status = _STATUS.get(err.exit_code, 500)
            return self._error(status, err.message, code=err.code, where=err.where, hint=err.hint)
        except RequestEntityTooLarge:
            hint = "start evercast serve with --upload-limit, or copy the file into the folder of the request"
            return self._error(413, "What was sent is larger than this page takes.", code="serve.too-large", hint=hint)
        except HTTPException as err:
            message = "There is no such page." if type(err) is NotFound else str(err.description)
            return self._error(err.code or 500, message, code="serve.no-page")

    def _page(self, request: _Request) -> Response:
        endpoint, values = self._map.bind_to_environ(request.environ).match()
        page = self._pages[endpoint]
        request.max_content_length = (
            self._site.limits.file_bytes + _FORM_BYTES if page is request_pages.form_sent else _FORM_BYTES
        )
        if request.method == "POST" and not self._site.gate.accepts_form(request.form.get("token", "")):
            message = "The form is not one of this server: it was started anew, or the form is of another site."
            return self._error(403, message, code="serve.token", hint="load the page again")
        return page(self._site, request, **values)

    def _opened(self) -> Response:
        """Give the cookie; the page that follows is asked by a page of this server, which a strict cookie needs."""
        response = Response(render("opened", self._site.common()), mimetype="text/html")
        gate = self._site.gate
        response.set_cookie(gate.cookie, gate.session, httponly=True, samesite="Strict", path="/")
        return response

    def _error(
        self, status: int, message: str, *, code: str, where: str | None = None, hint: str | None = None
    ) -> Response:
        _LOG.info("%d %s: %s", status, code, message)
        values: Mapping[str, object] = {"message": message, "code": code, "where": where, "hint": hint}
        return Response(render("error", {**self._site.common(), **values}), status=status, mimetype="text/html")


def _plain(message: str, status: int) -> Response:
    return Response(f"{message}\n", status=status, mimetype="text/plain")
