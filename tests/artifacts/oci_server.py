"""An OCI registry on this machine: the part of the distribution specification 1.1 that pushes and pulls need.

It is as strict as registries are: a blob must have the digest it is sent under, a manifest may name only blobs that are
there and is limited to 4 MiB. With a password it asks for a token, as public registries do.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MANIFEST_LIMIT = 4 << 20
PATHS = {
    "blob": re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>sha256:[0-9a-f]{64})"),
    "start": re.compile(r"/v2/(?P<name>.+)/blobs/uploads/"),
    "upload": re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<upload>[0-9a-f]+)"),
    "manifest": re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)"),
    "tags": re.compile(r"/v2/(?P<name>.+)/tags/list"),
    "base": re.compile(r"/v2/"),
    "token": re.compile(r"/token"),
}


class Store:
    """What the registry holds, and what it was asked."""

    def __init__(self, password: str | None) -> None:
        self.password = password
        self.token = secrets.token_hex(8)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.altered: dict[str, bytes] = {}
        """Digest -> what a dishonest registry sends in place of the blob."""

    @property
    def stored_bytes(self) -> int:
        return sum(len(content) for content in self.blobs.values())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store: Store

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        self.store.requests.append((self.command, parts.path))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        for kind in ("token", "base", "upload", "start", "blob", "manifest", "tags"):
            match = PATHS[kind].fullmatch(parts.path)
            if match is None:
                continue
            if kind != "token" and not self._may():
                realm = f'Bearer realm="http://{self.headers["Host"]}/token",service="test",scope="repository:a:pull"'
                self._send(401, b"{}", {"WWW-Authenticate": realm})
                return
            self.named = match.groupdict()
            self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            self.body = body
            getattr(self, f"_{kind}")()
            return
        self._fail(404, "NAME_UNKNOWN")

    def _may(self) -> bool:
        return self.store.password is None or self.headers.get("Authorization") == f"Bearer {self.store.token}"

    def _token(self) -> None:
        expected = "Basic " + base64.b64encode((self.store.password or "").encode()).decode()
        if self.headers.get("Authorization") != expected:
            self._fail(401, "UNAUTHORIZED")
            return
        self._send(200, json.dumps({"token": self.store.token}).encode(), {})

    def _base(self) -> None:
        self._send(200, b"{}", {})

    def _start(self) -> None:
        upload = secrets.token_hex(8)
        self.store.uploads[upload] = b""
        if "digest" in self.query:
            self._finish(self.named["name"], upload, self.query["digest"], self.body)
            return
        self._send(202, b"", {"Location": f"/v2/{self.named['name']}/blobs/uploads/{upload}?state=1"})

    def _upload(self) -> None:
        upload = self.named["upload"]
        if upload not in self.store.uploads:
            self._fail(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "PATCH":
            self.store.uploads[upload] += self.body
            end = len(self.store.uploads[upload]) - 1
            self._send(202, b"", {"Location": self.path, "Range": f"0-{end}"})
        else:
            self._finish(self.named["name"], upload, self.query.get("digest", ""), self.body)

    def _finish(self, name: str, upload: str, digest: str, body: bytes) -> None:
        content = self.store.uploads.pop(upload) + body
        if digest != f"sha256:{hashlib.sha256(content).hexdigest()}":
            self._fail(400, "DIGEST_INVALID")
            return
        self.store.blobs[digest] = content
        self._send(201, b"", {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _blob(self) -> None:
        digest = self.named["digest"]
        content = self.store.altered.get(digest, self.store.blobs.get(digest))
        if content is None:
            self._fail(404, "BLOB_UNKNOWN")
            return
        self._send(200, content, {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"})

    def _manifest(self) -> None:
        key = self.named["name"], self.named["reference"]
        if self.command == "PUT":
            self._take_manifest(*key, self.body)
            return
        if key not in self.store.manifests:
            self._fail(404, "MANIFEST_UNKNOWN")
            return
        kind, content = self.store.manifests[key]
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._send(200, content, {"Content-Type": kind, "Docker-Content-Digest": digest})

    def _take_manifest(self, name: str, reference: str, body: bytes) -> None:
        if len(body) > MANIFEST_LIMIT:
            self._fail(413, "SIZE_INVALID")
            return
        content = json.loads(body)
        entries = [content["config"], *content["layers"]]
        if any(entry["digest"] not in self.store.blobs for entry in entries):
            self._fail(404, "MANIFEST_BLOB_UNKNOWN")
            return
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        for key in (reference, digest):
            self.store.manifests[name, key] = (self.headers["Content-Type"], body)
        self._send(201, b"", {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest})

    def _tags(self) -> None:
        tags = sorted(
            reference
            for name, reference in self.store.manifests
            if name == self.named["name"] and not reference.startswith("sha256:")
        )
        if not tags:
            self._fail(404, "NAME_UNKNOWN")
            return
        left = [tag for tag in tags if tag > self.query.get("last", "")]
        page = left[: int(self.query.get("n", "1000"))]
        more = (
            {"Link": f'</v2/{self.named["name"]}/tags/list?last={page[-1]}>; rel="next"'}
            if len(left) > len(page)
            else {}
        )
        self._send(200, json.dumps({"name": self.named["name"], "tags": page}).encode(), more)

    def _fail(self, status: int, code: str) -> None:
        self._send(status, json.dumps({"errors": [{"code": code}]}).encode(), {})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def serve_registry(*, password: str | None = None) -> Iterator[tuple[str, Store]]:
    """Give the host and port of a registry, and what it holds."""
    store = Store(password)
    handler = type("BoundHandler", (Handler,), {"store": store})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", store
        finally:
            server.shutdown()
            thread.join()
