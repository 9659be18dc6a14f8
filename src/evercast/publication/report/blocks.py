"""What a page is made of: sections of tables, figures and paragraphs. Text in them is escaped by the template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from evercast.publication.report.figures import Drawing

__all__ = [
    "Block", "Cell", "Code", "Gallery", "Graph", "Group", "Headline", "Light", "Page", "Paragraph", "Section", "Table",
    "Tone",
]  # fmt: skip

Tone = Literal["plain", "number", "code", "good", "look", "bad"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table; `tone` chooses how it is set, `link` makes it a link (http and https only)."""

    text: str | Markup
    tone: Tone = "plain"
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; long ones are folded away behind their title; a `stacked` one becomes cards on a narrow screen."""

    title: str | Markup
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str | Markup | None = None
    folded: bool = False
    stacked: bool = False
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Figures side by side, as many as fit; a `pair` is a large one with a smaller one beside it."""

    drawings: tuple[Drawing, ...]
    title: str | None = None
    folded: bool = False
    pair: bool = False
    kind: Literal["gallery"] = "gallery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A drawing that is not a plot; `svg` is safe markup."""

    svg: Markup
    caption: str
    kind: Literal["graph"] = "graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Plain text."""

    text: str | Markup
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Lines to be typed or copied, with a title above."""

    title: str
    text: str
    note: str | Markup | None = None
    kind: Literal["code"] = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """A traffic light with a word."""

    tone: Tone
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Blocks folded away behind a title with traffic lights."""

    title: str
    lights: tuple[Light, ...]
    blocks: tuple[Table | Gallery | Paragraph, ...]
    kind: Literal["group"] = "group"


Block = Table | Gallery | Graph | Paragraph | Code | Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page with an entry in the navigation."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    lead: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The result of one likelihood in large type."""

    title: str
    poi: Markup
    observed: str
    expected: str
    z_observed: str
    z_expected: str
    trusted: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The whole report."""

    title: str
    name: str
    facts: tuple[str, ...]
    banners: tuple[str, ...]
    sentence: str | Markup
    headlines: tuple[Headline, ...]
    verdicts: tuple[Light, ...]
    sections: tuple[Section, ...]
    footer: str
