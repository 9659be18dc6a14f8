"""Who may ask the page, and what a page may do: loopback names, a key, no other site, no foreign content.

Any user and any web page of the machine can reach a port of the loopback. So every request must name this server in
`Host` (an address that was rebound to 127.0.0.1 does not), carry the cookie that only the printed address gives, and,
where it changes something, come from a page of this server and hold its token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final

__all__ = ["DOCUMENT_HEADERS", "PAGE_HEADERS", "Gate"]

_HOST: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_SHARED: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
PAGE_HEADERS: Final[Mapping[str, str]] = {
    **_SHARED,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
}
"""Of the pages of this server: nothing but what this server gives is loaded, and nothing inline runs."""
DOCUMENT_HEADERS: Final[Mapping[str, str]] = {
    **_SHARED,
    "Content-Security-Policy": (
        "sandbox allow-popups allow-top-navigation-by-user-activation; default-src 'none'; style-src 'unsafe-inline'; "
        "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
}
"""Of responses and reports, which others wrote: no script, no form, an origin of their own."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a request must show.

    Args:
        token: secret of this server, in the address that it prints.
        port: of this server; makes the cookie one of several servers on this machine.
    """

    token: str
    port: int

    @property
    def cookie(self) -> str:
        """Name of the cookie."""
        return f"evercast-{self.port}"

    @property
    def session(self) -> str:
        """Value of the cookie."""
        return self._derived("session")

    @property
    def form_token(self) -> str:
        """What every form holds."""
        return self._derived("form")

    def _derived(self, use: str) -> str:
        return hmac.new(self.token.encode(), use.encode(), hashlib.sha256).hexdigest()

    def opens(self, token: str) -> bool:
        """Return whether this is the token of the printed address."""
        return hmac.compare_digest(token.encode(), self.token.encode())

    def accepts_form(self, token: str) -> bool:
        """Return whether a form was made by this server."""
        return hmac.compare_digest(token.encode(), self.form_token.encode())

    def host_problem(self, host: str) -> str | None:
        """Return why a `Host` is not that of this server; None where it is."""
        if _HOST.fullmatch(host):
            return None
        return "this server answers to localhost and 127.0.0.1 only"

    def session_problem(self, cookies: str) -> str | None:
        """Return why the cookies do not open this server; None where they do."""
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(cookies)
        except CookieError:
            return "the cookies cannot be read"
        found = jar.get(self.cookie)
        if found is not None and hmac.compare_digest(found.value.encode(), self.session.encode()):
            return None
        return "open the address that evercast serve printed: it holds the key to this page"

    @staticmethod
    def origin_problem(headers: Mapping[str, str]) -> str | None:
        """Return why a request that changes something may come from another site; None where it does not.

        Args:
            headers: `host`, and where the browser sends them `origin` and `sec-fetch-site`.
        """
        site = headers.get("sec-fetch-site", "same-origin")
        if site not in {"same-origin", "none"}:
            return "the request comes from a page of another site"
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{headers.get('host', '').lower()}":
            return "the request comes from a page of another site"
        return None

    def problem(self, headers: Mapping[str, str], *, changes: bool) -> str | None:
        """Return why a request is refused before anything of it is looked at; None where it is not.

        Args:
            headers: names in small letters.
            changes: whether it may change something, or has a body.
        """
        return (
            self.host_problem(headers.get("host", ""))
            or (self.origin_problem(headers) if changes else None)
            or self.session_problem(headers.get("cookie", ""))
        )
