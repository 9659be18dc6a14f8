"""The page of the response of an archived run: verdict, limits, domain, shapes, injection, checks, the new bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from evercast import __version__
from evercast.publication.report.blocks import Block, Cell, Code, Light, Page, Paragraph, Section, Table, Tone
from evercast.publication.report.page import render_page, without_marks
from evercast.publication.report.view import JsonView
from evercast.reinterpretation.neural.page_checks import checks_sections
from evercast.reinterpretation.neural.page_limits import result_section
from evercast.reinterpretation.neural.page_signal import domain_section, injection_section, is_inside, shapes_section
from evercast.reinterpretation.neural.point_parts import PointParts
from evercast.reinterpretation.requests.page_shared import cite_section, label_of, provenance_section
from evercast.reinterpretation.requests.page_signal import selection_section
from evercast.spec.model import Analysis

__all__ = ["neural_page"]

_TONES: Mapping[str, Tone] = {"green": "good", "amber": "look", "red": "bad"}


def neural_page(analysis: Analysis, parts: Sequence[PointParts], body: Mapping[str, object]) -> str:
    """Return the response as HTML.

    Args:
        analysis: the archived document.
        parts: of the answers, in order.
        body: of response.json.
    """
    view = JsonView(body)
    label = label_of(view)
    sections = [
        result_section(analysis, parts, view, label),
        domain_section(view),
        selection_section(view),
        shapes_section(analysis, parts),
        injection_section(view, label),
        *checks_sections(parts),
        _bundle_section(view),
        provenance_section(view),
        cite_section(view),
    ]
    metadata = analysis.metadata
    energies = ", ".join(f"{energy:g}" for energy in metadata.sqrt_s_tev)
    page = Page(
        title=view.text("request", "title") or view.text("request", "name") or "",
        name=view.text("request", "name") or "",
        facts=(
            f"asked of {analysis.name}", metadata.experiment, f"√s = {energies} TeV",
            f"{metadata.luminosity_fb:g} fb⁻¹",
        ),
        banners=(),
        sentence=view.text("verdict") or "",
        headlines=(),
        verdicts=_lights(view),
        sections=tuple(section for section in sections if section is not None),
        footer=f"Written by evercast {__version__}; run {(view.text('request', 'run') or '')[:12]}. The same numbers "
        "stand in response.json.",
    )  # fmt: skip
    return without_marks(render_page(page))


def _lights(body: JsonView) -> tuple[Light, ...]:
    points = list(body.entries("points"))
    counts = Counter(
        check.text("outcome")
        for point in points
        for kind in ("process", "model_point")
        for check in point.entries(kind, "checks")
    )
    lights = [Light(tone=tone, text=f"{counts[name]} {name}") for name, tone in _TONES.items() if counts[name]]
    shares = [share for p in points for kind in ("process", "model_point") for share in p.entries(kind, "domain")]
    if shares:
        outside = max(share.number("outside") or 0.0 for share in shares)
        refused = any(share.flag("refused") for share in shares)
        tone: Tone = "bad" if refused else "good" if all(is_inside(share) for share in shares) else "look"
        lights.append(Light(tone=tone, text=f"{100 * outside:.2g} % outside of the training domain"))
    if failed := body.whole("counts", "failed"):
        lights.append(Light(tone="bad", text=f"{failed} without a number"))
    if any(point.at("process", "bundle").value is not None for point in points):
        lights.append(Light(tone="good", text="updated likelihood verified"))
    return tuple(lights)


def _bundle_section(body: JsonView) -> Section | None:
    points = [point for point in body.entries("points") if point.at("process").value is not None]
    if not points:
        return None
    blocks: list[Block] = []
    for point in points:
        name, bundle = point.text("name") or "", point.at("process", "bundle")
        if bundle.value is None:
            reason = point.text("process", "bundle_reason") or "unknown"
            blocks.append(Paragraph(text=f"{name}: there is no updated likelihood: {reason}."))
            continue
        folder = bundle.text("folder") or ""
        blocks.append(
            Code(
                title=f"{name}: {folder}",
                text=f"evercast verify {folder}\nevercast fit {folder}",
                note=f"Disclosure: {bundle.text('disclosure')}. Its manifest has the sha256 {bundle.text('manifest')}.",
            )
        )
        rows = tuple(
            (Cell("verified", "good"), Cell(entry.text() or "")) for entry in bundle.entries("checked")
        )  # fmt: skip
        blocks.append(Table(title="What was compared", headers=("", "what"), rows=rows, folded=True))
    made = any(point.at("process", "bundle").value is not None for point in points)
    lead = (
        "The likelihood of the archive with the new term, as a bundle that can be published, evaluated and combined; "
        "it passed what evercast verify checks."
    )
    return Section(anchor="bundle", title="The updated likelihood", blocks=tuple(blocks), lead=lead if made else None)
