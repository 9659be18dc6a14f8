"""What the pages of all responses have: provenance, what was reused and computed, how to cite; out of response.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from markupsafe import escape
from matplotlib.figure import Figure

from evercast.publication.plots.figure import Label, figure_style, to_svg
from evercast.publication.report.blocks import Block, Cell, Paragraph, Section, Table
from evercast.publication.report.figures import Drawing
from evercast.publication.report.view import JsonView

__all__ = [
    "cite_section", "drawing", "label_of", "number", "percent", "provenance_section", "sources_table", "units_blocks",
]  # fmt: skip

_FOLDED = 20
_ORIGINS = {"archive": "taken from the archive", "present": "there already", "computed": "computed for this response"}


def drawing(name: str, build: Callable[[], Figure], *, caption: str, wide: bool = True) -> Drawing:
    """Return a figure for the page.

    Args:
        name: short word, unique in the page.
        build: makes the figure, in the style of all reports.
        caption: below it, escaped.
        wide: over the whole width.
    """
    with figure_style():
        svg = to_svg(build(), name=name, alt=str(escape(caption[:200])))
    return Drawing(name=name, svg=svg, caption=caption, wide=wide)


def label_of(body: JsonView) -> Label:
    """Return the line above the figures: of whose analysis this is a reinterpretation."""
    return Label(
        experiment="Reinterpretation", text=f"of {body.text('analysis', 'experiment') or ''}",
        sqrt_s_tev=tuple(body.numbers("analysis", "sqrt_s_tev").tolist()),
        luminosity_fb=body.number("analysis", "luminosity_fb") or 0.0,
    )  # fmt: skip


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with some digits, a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}".replace("-", "−")


def percent(share: float | None) -> str:
    """Return a share in per cent, a dash where there is none."""
    return "–" if share is None else f"{100 * share:.3g} %"


def provenance_section(body: JsonView) -> Section:
    """Return which analysis answered, what was reused and what was computed, each with its digest."""
    blocks: list[Block] = [sources_table(body), *units_blocks(body)]
    lead = (
        "What does not depend on the signal was taken as it is, proven unchanged by its digest; the rest was computed."
    )
    return Section(anchor="provenance", title="Reused, computed, provenance", lead=lead, blocks=tuple(blocks))


def sources_table(body: JsonView) -> Table:
    """Return the table of everything that the response is made of."""
    points = list(body.entries("points"))
    computed = sum(bool(point.flag("computed")) for point in points)
    background = body.text("reused", "background")
    archive = body.text("kind") == "run"
    rows = [
        ("archive" if archive else "analysis",
         f"{body.text('analysis', 'name')}, {'id' if archive else 'sha256'} {body.text('analysis', 'digest')}"),
        ("likelihood" if archive else "regions", body.text("analysis", "likelihood") or ""),
        *((("background", f"sha256 {background}, as it is"),) if background else ()),
        *(("file of the record", f"{name}, sha256 {digest.text()}, as it is")
          for name, digest in body.items("reused", "files")),
        ("request", f"sha256 {body.text('request', 'digest')}"),
        ("run", body.text("request", "run") or ""),
        ("points computed in this run", str(computed)),
        ("points that were there already", str(len(points) - computed)),
        ("evercast", body.text("provenance", "evercast") or ""),
        ("Python", body.text("provenance", "python") or ""),
        *((name, version.text() or "") for name, version in body.items("provenance", "packages")),
    ]  # fmt: skip
    table_rows = tuple((Cell(what), Cell(which, "code")) for what, which in rows)
    return Table(title="What was used", headers=("what", "which"), rows=table_rows, folded=len(rows) > _FOLDED)


def units_blocks(body: JsonView) -> list[Block]:
    """Return how many units of work were reused and computed, and the table of them; nothing where there are none."""
    units = list(body.entries("units"))
    if not units:
        return []
    counts = Counter(unit.text("origin") or "" for unit in units)
    said = ", ".join(f"{counts[origin]} {words}" for origin, words in _ORIGINS.items() if counts[origin])
    rows = tuple(
        (
            Cell(unit.text("id") or "", "code"), Cell(unit.text("stage") or ""),
            Cell(_ORIGINS.get(unit.text("origin") or "", ""), "look" if unit.text("origin") == "computed" else "plain"),
            Cell(number(unit.number("seconds"), 3), "number"), Cell((unit.text("key") or "")[:16], "code"),
        )
        for unit in units
    )  # fmt: skip
    headers = ("unit", "stage", "origin", "seconds", "key, 16 of 64 digits")
    note = "Units of equal keys have equal results: a key is a digest of what is done and of all that it takes."
    table = Table(title=f"{len(units)} units of work", headers=headers, rows=rows, note=note, folded=True)
    return [Paragraph(text=f"{len(units)} units of work: {said}."), table]


def cite_section(body: JsonView) -> Section:
    """Return how the analysis, and the program that answered, are cited."""
    citation = body.text("analysis", "citation")
    blocks: list[Block] = [Paragraph(text=citation)] if citation else []
    rows = [
        *((Cell(entry.text("title") or ""), Cell(entry.text("link") or "–", link=entry.text("link")))
          for entry in body.entries("analysis", "references")),
        (Cell("licence of the analysis"), Cell(body.text("analysis", "license") or "–")),
        (Cell("this response"), Cell(f"run {(body.text('request', 'run') or '')[:12]}, evercast "
                                     f"{body.text('provenance', 'evercast')}", "code")),
    ]  # fmt: skip
    blocks.append(Table(title="Sources", headers=("what", "where"), rows=tuple(rows)))
    lead = "Cite the publication and the record; name the run, whose response.json holds all numbers and digests."
    return Section(anchor="cite", title="How to cite", lead=lead, blocks=tuple(blocks))
