"""The folders of requests below one folder: their names, their documents, what belongs to the requester in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from evercast.artifacts.files import atomic_write_bytes, make_folder
from evercast.errors import EnvironmentUnfit, InvalidInput
from evercast.reinterpretation.requests.run import REQUEST_FILE
from evercast.serve.form_values import ABSENT, from_form
from evercast.serve.places import SideFile, digest_of, known_digest, open_below, side_files
from evercast.serve.shapes import Shape, item_shape, properties_of

__all__ = ["Document", "Requests", "default_folder", "document_text", "read_text", "with_digests", "write_text"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LIMIT: Final = 8_000_000
_OURS: Final = frozenset({REQUEST_FILE, "history", "runs", "points", "responses", "work"})
"""What evercast writes into the folder of a request."""


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a request, and its sha256."""

    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class Requests:
    """The folders of requests that a page shows.

    Args:
        root: the folder that they lie in.
    """

    root: Path

    def names(self) -> tuple[str, ...]:
        """Return the requests, the one that changed last first."""
        if not self.root.is_dir():
            return ()
        found = [place for place in self.root.iterdir() if self._is_request(place)]
        return tuple(place.name for place in sorted(found, key=_changed, reverse=True))

    def folder(self, name: str) -> Path:
        """Return the folder of a request.

        Raises:
            InvalidInput: ``serve.no-request``.
        """
        place = self.root / name
        if not _NAME.fullmatch(name) or not self._is_request(place):
            raise InvalidInput("there is no request of this name", code="serve.no-request", where=name)
        return place

    def new_folder(self, name: str) -> Path:
        """Return where a new request is made; nothing is there yet.

        Raises:
            InvalidInput: ``serve.name``: the name is not allowed, or taken.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name):
            hint = "a small letter, then at most 63 small letters, digits, '_' and '-'"
            raise InvalidInput(f"the name {name[:70]!a} is not allowed", code="serve.name", hint=hint)
        if (self.root / name).exists() or (self.root / name).is_symlink():
            raise InvalidInput(f"there is a request {name!a} already", code="serve.name", hint="take another name")
        make_folder(self.root)
        return self.root / name

    def free_name(self, stem: str) -> str:
        """Return a name that is not taken."""
        name, number = stem[:60], 2
        while (self.root / name).exists():
            name, number = f"{stem[:60]}-{number}", number + 1
        return name

    @staticmethod
    def files(folder: Path) -> tuple[SideFile, ...]:
        """Return the files of the requester in the folder of a request."""
        return side_files(folder, left_out=_OURS)

    @staticmethod
    def _is_request(place: Path) -> bool:
        return not place.is_symlink() and place.is_dir() and (place / REQUEST_FILE).is_file()


def _changed(place: Path) -> float:
    try:
        return max(path.stat().st_mtime for path in (place / REQUEST_FILE, place / "history") if path.exists())
    except (OSError, ValueError):
        return 0.0


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return where requests are kept: ``evercast/requests`` in ``XDG_DATA_HOME`` or in ``~/.local/share``.

    Raises:
        EnvironmentUnfit: ``environment.home``.
    """
    if environ.get("XDG_DATA_HOME"):
        return Path(environ["XDG_DATA_HOME"]) / "evercast" / "requests"
    if environ.get("HOME"):
        return Path(environ["HOME"]) / ".local" / "share" / "evercast" / "requests"
    raise EnvironmentUnfit("there is no HOME for requests", code="environment.home", hint="name one with --folder")


def read_text(folder: Path) -> Document:
    """Return the document of a request as it stands.

    Raises:
        InvalidInput: ``serve.no-file``; ``serve.too-large``: it is no document that a person wrote.
        IntegrityError: ``serve.file-link``.
    """
    with open_below(folder, (REQUEST_FILE,)) as stream:
        content = stream.read(_LIMIT + 1)
    if len(content) > _LIMIT:
        message = f"the document is larger than {_LIMIT} bytes"
        raise InvalidInput(message, code="serve.too-large", where=REQUEST_FILE, hint="use the command line")
    return Document(text=content.decode("utf-8", "replace"), digest=hashlib.sha256(content).hexdigest())


def write_text(folder: Path, text: str) -> Document:
    """Write the document of a request.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    content = text.replace("\r\n", "\n").encode()
    atomic_write_bytes(folder / REQUEST_FILE, content)
    return Document(text=text, digest=hashlib.sha256(content).hexdigest())


def document_text(shape: Shape, form: Mapping[str, str], folder: Path) -> str:
    """Return the document that a form says, with digest and size of the files that are chosen in it."""
    body = from_form(shape, form)
    filled = {} if body is ABSENT else with_digests(shape, body, folder)
    return yaml.safe_dump(filled, sort_keys=False, allow_unicode=True, width=120)


def with_digests(shape: Shape, value: Any, folder: Path) -> Any:
    """Return a value in which every file that is there has its digest and size.

    A digest that belongs to no file of the folder is what the requester states: it stays, and is compared later.
    """
    files = [file.path for file in Requests.files(folder)]
    others = frozenset(digest for path in files if (digest := known_digest(folder, path)) is not None)
    return _with_digests(shape, value, folder, frozenset(files), others)


def _with_digests(
    shape: Shape, value: Any, folder: Path, files: frozenset[str], others: frozenset[str]
) -> Any:  # fmt: skip
    """Return the same for a place; `others` are digests of files, which a choice of another one leaves behind."""
    if shape.kind == "object" and isinstance(value, Mapping):
        shapes = properties_of(shape)
        filled = {key: _with_digests(shapes[key], part, folder, files, others) for key, part in value.items()}
        if shape.is_file and filled.get("path") in files and filled.get("sha256") in {None, *others}:
            digest, size = digest_of(folder, filled["path"])
            filled |= {"sha256": digest, "size_bytes": size}
        return filled
    if shape.kind == "map" and isinstance(value, Mapping):
        return {key: _with_digests(item_shape(shape), part, folder, files, others) for key, part in value.items()}
    if shape.kind == "list" and isinstance(value, list):
        return [_with_digests(item_shape(shape), part, folder, files, others) for part in value]
    return value
