"""A client of OCI registries (distribution specification 1.1): blobs by digest, manifests by tag, over HTTPS.

Plain HTTP is spoken with this machine alone. What comes from a registry is a stranger's: sizes are limited, digests are
compared by whoever asked, redirections go to HTTPS addresses only and never carry the credentials along.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Final, NoReturn

from evercast.artifacts.files import parse_json
from evercast.errors import EnvironmentUnfit, IntegrityError, UsageError

__all__ = ["MANIFEST_LIMIT", "MANIFEST_TYPE", "Reference", "Registry", "docker_credentials", "parse_reference"]

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_LIMIT: Final = 4 << 20
"""Largest manifest that every registry takes, bytes."""

_TIMEOUT_S: Final = 60.0
_NAME: Final = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_REFERENCE: Final = re.compile(
    rf"oci://(?P<host>\[?[A-Za-z0-9.:-]{{1,255}}\]?)/(?P<name>{_NAME}(?:/{_NAME}){{0,20}})(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}))?"
)
_CHALLENGE: Final = re.compile(r'([a-z_]{1,40})="([^"\x00-\x1f]{0,2000})"')
_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_REDIRECTIONS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A repository in a registry: ``oci://HOST/NAME``, with a tag or without."""

    host: str
    name: str
    tag: str | None = None

    def __str__(self) -> str:
        return f"oci://{self.host}/{self.name}" + (f":{self.tag}" if self.tag else "")


def parse_reference(text: str) -> Reference:
    """Return what ``oci://HOST/NAME`` or ``oci://HOST/NAME:TAG`` stands for.

    Raises:
        UsageError: ``registry.reference``.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} names no repository in a registry",
            code="registry.reference",
            hint="e.g. oci://registry.example.org/cms/h4l, in small letters",
        )
    return Reference(host=match["host"], name=match["name"], tag=match["tag"])


def docker_credentials(home: Path, host: str) -> str | None:
    """Return ``USER:PASSWORD`` for a registry as ``docker login`` or ``oras login`` wrote it; None without.

    Args:
        home: of the user.
        host: of the registry.

    Raises:
        IntegrityError: ``artifact.not-json``: the file is damaged.
    """
    file = home / ".docker" / "config.json"
    if not file.is_file():
        return None
    body = parse_json(file.read_bytes(), where=str(file))
    entries = body.get("auths") if isinstance(body, dict) else None
    entry = entries.get(host) if isinstance(entries, dict) else None
    text = entry.get("auth") if isinstance(entry, dict) else None
    try:
        return base64.b64decode(text, validate=True).decode() if isinstance(text, str) else None
    except ValueError:
        return None


class Registry:
    """One repository of a registry.

    Args:
        reference: which one.
        credentials: ``USER:PASSWORD``; None asks as anybody.
    """

    def __init__(self, reference: Reference, *, credentials: str | None = None) -> None:
        self.reference = reference
        self._credentials = credentials
        self._authorisation: str | None = None
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def has_blob(self, digest: str) -> bool:
        """Return whether the registry has a blob.

        Args:
            digest: sha256, 64 hexadecimal digits; likewise below.

        Raises:
            EnvironmentUnfit: ``registry.*``.
        """
        answer = self._ask("HEAD", f"blobs/sha256:{digest}")
        answer.read()
        return answer.status == 200

    def put_blob(self, digest: str, *, size: int, open_content: Callable[[], BufferedIOBase]) -> None:
        """Send a blob.

        Raises:
            EnvironmentUnfit: ``registry.*``.
        """
        start = self._ask("POST", "blobs/uploads/", headers={"Content-Length": "0"})
        start.read()
        self._expect(start, 202, "begin to send a file")
        place = urllib.parse.urljoin(self._url("blobs/uploads/"), start.getheader("Location") or "")
        parts = urllib.parse.urlsplit(place)
        if parts.netloc != self.reference.host:
            self._fail(f"it sends files on to {parts.netloc!r}")
        query = f"{parts.query}&" if parts.query else ""
        target = f"{parts.path}?{query}digest=sha256:{digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        answer = self._send("PUT", target, headers=headers, open_content=open_content)
        answer.read()
        self._expect(answer, 201, "take a file")

    def get_blob(self, digest: str) -> BufferedIOBase:
        """Return a blob as a stream; whoever reads it compares its digest.

        Raises:
            EnvironmentUnfit: ``registry.*``.
            IntegrityError: ``registry.missing``.
        """
        answer = self._ask("GET", f"blobs/sha256:{digest}")
        if answer.status == 404:
            raise IntegrityError(
                f"it lacks the file with sha256 {digest}", code="registry.missing", where=str(self.reference)
            )
        if answer.status in (301, 302, 303, 307, 308):
            answer.read()
            return _follow(answer.getheader("Location") or "", str(self.reference), _REDIRECTIONS)
        self._expect(answer, 200, "give a file")
        return io.BufferedReader(answer)

    def put_manifest(self, tag: str, content: bytes) -> None:
        """Give a manifest a tag.

        Raises:
            EnvironmentUnfit: ``registry.*``.
        """
        headers = {"Content-Type": MANIFEST_TYPE, "Content-Length": str(len(content))}
        answer = self._send(
            "PUT", self._path(f"manifests/{tag}"), headers=headers, open_content=lambda: io.BytesIO(content)
        )
        answer.read()
        self._expect(answer, 201, "take a manifest")

    def get_manifest(self, tag: str) -> bytes | None:
        """Return the manifest with a tag; None where there is none.

        Raises:
            EnvironmentUnfit: ``registry.*``.
            IntegrityError: ``registry.manifest``: too large, or not what its digest says.
        """
        answer = self._ask("GET", f"manifests/{tag}", headers={"Accept": MANIFEST_TYPE})
        if answer.status == 404:
            answer.read()
            return None
        self._expect(answer, 200, "give a manifest")
        content = self._read(answer)
        said = answer.getheader("Docker-Content-Digest")
        if said is not None and said != f"sha256:{hashlib.sha256(content).hexdigest()}":
            raise IntegrityError(
                f"the manifest {tag!r} is not what its digest {said} says",
                code="registry.manifest",
                where=str(self.reference),
            )
        return content

    def tags(self) -> tuple[str, ...]:
        """Return all tags of the repository; none where there is no such repository.

        Raises:
            EnvironmentUnfit: ``registry.*``.
            IntegrityError: ``registry.manifest``: the list is damaged.
        """
        found: list[str] = []
        path = "tags/list?n=1000"
        while True:
            answer = self._ask("GET", path)
            content = self._read(answer)
            if answer.status == 404:
                return ()
            self._expect(answer, 200, "list its tags")
            body = parse_json(content, where=f"{self.reference} tags")
            tags = body.get("tags") if isinstance(body, dict) else None
            more = [tag for tag in tags or () if isinstance(tag, str)] if isinstance(tags, list | None) else []
            if not more or len(found) > 100_000:
                return tuple(found)
            found += more
            if answer.getheader("Link") is None:
                return tuple(found)
            path = f"tags/list?n=1000&last={urllib.parse.quote(more[-1])}"

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        content = answer.read(MANIFEST_LIMIT + 1)
        if len(content) > MANIFEST_LIMIT:
            self.close()
            raise IntegrityError(
                f"its answer is longer than {MANIFEST_LIMIT} bytes", code="registry.manifest", where=str(self.reference)
            )
        return content

    def _path(self, rest: str) -> str:
        return f"/v2/{self.reference.name}/{rest}"

    def _url(self, rest: str) -> str:
        scheme = "http" if _is_local(self.reference.host) else "https"
        return f"{scheme}://{self.reference.host}{self._path(rest)}"

    def _ask(self, method: str, rest: str, *, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
        return self._send(method, self._path(rest), headers=headers or {}, open_content=None)

    def _send(
        self, method: str, target: str, *, headers: Mapping[str, str], open_content: Callable[[], BufferedIOBase] | None
    ) -> http.client.HTTPResponse:
        answer = self._once(method, target, headers, open_content)
        if answer.status == 401:
            challenge = answer.getheader("WWW-Authenticate") or ""
            answer.read()
            self._authorisation = self._answer_to(challenge)
            answer = self._once(method, target, headers, open_content)
        if answer.status in (401, 403):
            answer.read()
            raise EnvironmentUnfit(
                f"the registry does not let us in ({answer.status})",
                code="registry.denied",
                where=str(self.reference),
                hint="log in with docker login or oras login; both write ~/.docker/config.json, which is read",
            )
        return answer

    def _once(
        self, method: str, target: str, headers: Mapping[str, str], open_content: Callable[[], BufferedIOBase] | None
    ) -> http.client.HTTPResponse:
        sent = {**headers, "User-Agent": "evercast"}
        if self._authorisation is not None:
            sent["Authorization"] = self._authorisation
        for is_last in (False, True):
            fresh = self._connection is None
            if self._connection is None:
                self._connection = _connect(self.reference.host)
            try:
                if open_content is None:
                    self._connection.request(method, target, headers=sent)
                else:
                    with open_content() as body:
                        self._connection.request(method, target, body=body, headers=sent)
                return self._connection.getresponse()
            except (OSError, http.client.HTTPException) as err:
                self.close()
                if is_last or fresh:  # a connection that was kept may have been closed meanwhile
                    self._fail(str(err) or type(err).__name__, code="registry.unreachable", cause=err)
        raise AssertionError("unreachable")

    def _answer_to(self, challenge: str) -> str:
        """Return what authorises us, as the registry asks for it: a token of its token server, or the password."""
        basic = None if self._credentials is None else base64.b64encode(self._credentials.encode()).decode()
        kind, _, rest = challenge.partition(" ")
        if kind.lower() != "bearer":
            return f"Basic {basic}" if basic else ""
        asked = dict(_CHALLENGE.findall(rest))
        realm = urllib.parse.urlsplit(asked.get("realm", ""))
        if realm.scheme != "https" and not (_is_local(realm.netloc) and _is_local(self.reference.host)):
            self._fail(f"its token server is {asked.get('realm')!r}, which is no https address")
        query = urllib.parse.urlencode({key: asked[key] for key in ("service", "scope") if key in asked})
        connection = _connect(realm.netloc)
        try:
            headers = {"Authorization": f"Basic {basic}"} if basic else {}
            connection.request("GET", f"{realm.path}?{query}", headers=headers)
            body = parse_json(connection.getresponse().read(1 << 20), where=f"{self.reference} token")
        except (OSError, http.client.HTTPException) as err:
            self._fail(str(err), code="registry.unreachable", cause=err)
        finally:
            connection.close()
        token = (body.get("token") or body.get("access_token")) if isinstance(body, dict) else None
        return f"Bearer {token}" if isinstance(token, str) and token.isprintable() else ""

    def _expect(self, answer: http.client.HTTPResponse, status: int, what: str) -> None:
        if answer.status != status:
            reason = answer.read(300).decode(errors="replace") if not answer.isclosed() else ""
            self._fail(f"it does not {what}: {answer.status} {answer.reason} {reason}".rstrip())

    def _fail(self, reason: str, *, code: str = "registry.answer", cause: BaseException | None = None) -> NoReturn:
        raise EnvironmentUnfit(reason, code=code, where=str(self.reference)) from cause


def _is_local(host: str) -> bool:
    return (urllib.parse.urlsplit(f"//{host}").hostname or "") in _LOCAL


def _connect(host: str) -> http.client.HTTPConnection:
    kind = http.client.HTTPConnection if _is_local(host) else http.client.HTTPSConnection
    return kind(host, timeout=_TIMEOUT_S)


def _follow(address: str, where: str, left: int) -> BufferedIOBase:
    """Return the stream at the address that a registry sends us to, without any credentials."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme != "https" or left == 0:
        raise EnvironmentUnfit(
            f"it sends us on to {address[:200]!r}, which is no https address", code="registry.answer", where=where
        )
    connection = _connect(parts.netloc)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as err:
        raise EnvironmentUnfit(str(err), code="registry.unreachable", where=where) from err
    if answer.status in (301, 302, 303, 307, 308):
        return _follow(answer.getheader("Location") or "", where, left - 1)
    if answer.status != 200:
        raise EnvironmentUnfit(f"{parts.netloc} answers {answer.status}", code="registry.answer", where=where)
    return io.BufferedReader(answer)
