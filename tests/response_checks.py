"""What holds of every response: valid, complete, one quiet page whose texts are texts, the same numbers in it."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from evercast.publication.page_check import require_quiet_page
from evercast.reinterpretation.requests.page_shared import number
from evercast.schemas import load_schema, registry

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def response_of(folder: Path) -> dict[str, Any]:
    """Return response.json after it was compared with its schema, and the files beside it with their digests."""
    body: dict[str, Any] = json.loads((folder / "response.json").read_text())
    Draft202012Validator(load_schema("response"), registry=registry()).validate(body)
    there = {path.name for path in folder.iterdir() if path.is_file()} - {"response.json"}
    assert set(body["files"]) == there
    for name, digest in body["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    return body


class _Cells(HTMLParser):
    """Collects the ids of a page and the texts of its cells."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.cells: list[str] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag == "td":
            self.cells.append("")
        self._open = self._open or tag == "td"

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.cells[-1] += data


def page_of(folder: Path) -> tuple[str, list[str]]:
    """Return the page and the texts of its cells: it loads and runs nothing, and every id stands in it once."""
    require_quiet_page(folder / "response.html")
    page = (folder / "response.html").read_text()
    read = _Cells()
    read.feed(page)
    assert len(read.ids) == len(set(read.ids))
    assert not _CONTROL.search(page)
    return page, [cell.strip() for cell in read.cells]


def assert_shown(cells: list[str], *values: float | None) -> None:
    """Each number of response.json stands in a cell of the page."""
    for value in values:
        assert number(value) in cells, value
