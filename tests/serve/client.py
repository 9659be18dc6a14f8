"""A client that speaks plain HTTP and reads forms as a browser does."""

from __future__ import annotations

import http.client
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

__all__ = ["Answer", "Client", "FormReader"]


@dataclass
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def place(self) -> str:
        """Where it leads."""
        return self.headers["Location"]


class FormReader(HTMLParser):
    """Name -> value of every control of a page, and its labels."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.labelled: set[str] = set()
        self.ids: dict[str, str] = {}
        self._select = self._area = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        if tag == "label":
            self.labelled.add(found["for"])
        name = found.get("name", "")
        if tag in {"input", "select", "textarea"} and found.get("type") != "hidden":
            self.ids[name] = found.get("id", "")
        if tag == "input" and found.get("type") != "file":
            self.values[name] = found.get("value", "")
        elif tag == "select":
            self._select = name
            self.values[name] = ""
        elif tag == "option" and "selected" in found:
            self.values[self._select] = found["value"]
        elif tag == "textarea":
            self._area = name
            self.values[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area] += data.removeprefix("\n")


@dataclass
class Client:
    """A client with a cookie."""

    port: int
    cookie: str = ""
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def opened(cls, port: int, address: str) -> Client:
        """Return a client that opened the printed address and followed it."""
        client = cls(port)
        split = urlsplit(address)
        answer = client.get(f"{split.path}?{split.query}")
        assert answer.status == 200
        client.cookie = answer.headers["Set-Cookie"].split(";")[0]
        found = client.get("/analyses/" + client.first_analysis()).text
        client.token = FormReader(found).values["token"]
        return client

    def first_analysis(self) -> str:
        """Return the identity of the first analysis in the catalogue."""
        found = re.search(r'href="/analyses/([0-9a-f]{16})"', self.get("/").text)
        assert found
        return found.group(1)

    def ask(self, method: str, place: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request; names of headers have _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        own = {"Cookie": self.cookie, **self.headers, **{key.replace("_", "-"): text for key, text in headers.items()}}
        try:
            connection.request(method, place, body=body, headers={key: text for key, text in own.items() if text})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            connection.close()

    def get(self, place: str, **headers: str) -> Answer:
        """Ask for a page."""
        return self.ask("GET", place, **headers)

    def post(self, place: str, values: Mapping[str, str], **headers: str) -> Answer:
        """Send a plain form."""
        body = urlencode({"token": self.token, **values}).encode()
        return self.ask("POST", place, body, Content_Type="application/x-www-form-urlencoded", **headers)

    def new(self, name: str) -> str:
        """Make a request and return the address of its pages."""
        answer = self.post("/requests", {"analysis": self.first_analysis(), "name": name})
        assert (answer.status, answer.headers.get("Location")) == (303, f"/requests/{name}/form"), answer.text
        return f"/requests/{name}"

    def form(self, place: str) -> dict[str, str]:
        """Return the values that stand in the form of a request."""
        return FormReader(self.get(f"{place}/form").text).values

    def send(
        self, place: str, values: Mapping[str, str], *, do: str, files: Mapping[str, bytes] | None = None
    ) -> Answer:
        """Send the form of a request, with files where there are any."""
        mark = secrets.token_hex(12)
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
            for name, text in {**values, "token": self.token, "do": do}.items()
        ]
        for name, content in (files or {}).items():
            head = f'--{mark}\r\nContent-Disposition: form-data; name="upload"; filename="{name}"\r\n'
            parts += [head.encode(), b"Content-Type: application/octet-stream\r\n\r\n", content, b"\r\n"]
        body = b"".join([*parts, f"--{mark}--\r\n".encode()])
        return self.ask("POST", f"{place}/form", body, Content_Type=f"multipart/form-data; boundary={mark}")

    def edit(self, place: str, changes: Mapping[str, str], *, do: str) -> Answer:
        """Change values of the form of a request and press one of its buttons."""
        return self.send(place, {**self.form(place), **changes}, do=do)
