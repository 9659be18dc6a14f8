"""Whether a page does nothing but show: no script, no form, nothing that is loaded from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from evercast.errors import IntegrityError

__all__ = ["page_problems", "require_quiet_page"]

_TAGS: Final = (
    "a abbr b body br caption clippath code col colgroup dd defs desc details div dl dt ellipse em figcaption figure "
    "footer g h1 h2 h3 h4 h5 h6 head header hr html i li line lineargradient main meta nav ol p path pattern polygon "
    "polyline pre rect section small span stop strong style sub summary sup svg symbol table tbody td text tfoot th "
    "thead title tr tspan ul use circle img image"
)
_DRAWN: Final = ("data:image/png;base64,", "data:image/jpeg;base64,")
_LINKS: Final = ("https://", "http://", "mailto:", "#")
_ADDRESSES: Final = frozenset({"href", "xlink:href", "src", "srcset", "action", "formaction", "background", "poster",
                               "data", "ping", "cite", "manifest"})  # fmt: skip
_METAS: Final = frozenset({"content-security-policy"})
_LOADED: Final = re.compile(r"@import|image-set|src\s*\(|expression\s*\(|url\s*\((?!\s*[\"']?#)|[a-z]+://", re.I)
"""What in a style sheet names something outside of the page."""
_LARGEST: Final = 256 << 20


def require_quiet_page(path: Path) -> None:
    """Refuse a page that would do more than show itself when a browser opens it.

    Raises:
        IntegrityError: ``bundle.page``.
    """
    if path.stat().st_size > _LARGEST:
        raise _refused(path, f"it has more than {_LARGEST >> 20} MB")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise _refused(path, "it is not UTF-8") from err
    problems = page_problems(text)
    if problems:
        raise _refused(path, problems[0])


def page_problems(text: str) -> list[str]:
    """Return what in a page is more than text, drawings and links."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.problems


def _refused(path: Path, message: str) -> IntegrityError:
    return IntegrityError(
        f"{path.name} is no page as evercast writes it: {message}",
        code="bundle.page",
        where=str(path),
        hint="do not open it in a browser; get the bundle again from where it was published",
    )


class _Reader(HTMLParser):
    """Gathers problems. What browsers and this parser may read differently (comments, CDATA) is refused outright."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS.split():
            self.problems.append(f"it has the element <{tag[:40]}>")
        self._style = tag == "style"
        for name, value in attrs:
            self._attribute(tag, name, value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._style = False

    def handle_endtag(self, tag: str) -> None:
        self._style = self._style and tag != "style"

    def _attribute(self, tag: str, name: str, value: str) -> None:
        stripped = value.strip().lower()
        if name.startswith("on") or not re.fullmatch(r"[a-z][a-z0-9:._-]*", name):
            self.problems.append(f"<{tag}> has the attribute {name[:40]}")
        elif name in _ADDRESSES:
            links = _LINKS if tag == "a" and name == "href" else _DRAWN if tag in ("img", "image") else ("#",)
            if not stripped.startswith(links):
                self.problems.append(f"<{tag}> has {name}={value[:60]!r}; links alone may lead out of the page")
        elif name == "http-equiv" and stripped not in _METAS:
            self.problems.append(f"it has <meta http-equiv={value[:40]!r}>")
        elif not name.startswith("xmlns") and name not in ("content", "class", "id", "aria-label", "title"):
            self._look(f"<{tag} {name}>", value)

    def _look(self, where: str, text: str) -> None:
        found = _LOADED.search(text)
        if found is not None:
            self.problems.append(f"{where} names something outside of the page: {found.group()[:40]!r}")
        if "\\" in text or "javascript:" in text.lower():
            self.problems.append(f"{where} hides what it says")

    def handle_data(self, data: str) -> None:
        if self._style:
            self._look("<style>", data)
            if "<" in data:
                self.problems.append("<style> holds markup")

    def handle_comment(self, data: str) -> None:
        self.problems.append(f"it has the comment {data[:40]!r}")

    def handle_decl(self, decl: str) -> None:
        if decl.strip().lower() != "doctype html":
            self.problems.append(f"it has <!{decl[:40]}>")

    def handle_pi(self, data: str) -> None:
        self.problems.append(f"it has <?{data[:40]}>")

    def unknown_decl(self, data: str) -> None:
        self.problems.append(f"it has <![{data[:40]}")
