"""The section on systematic uncertainties: what each changes, in numbers and in the observables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from markupsafe import Markup

from evercast.publication.plots.variations import Variation
from evercast.publication.report import figures
from evercast.publication.report.blocks import Block, Cell, Gallery, Paragraph, Section, Table
from evercast.publication.report.mathtext import to_html, to_plain
from evercast.publication.report.predictions import event_edges
from evercast.publication.report.sections_selection import Selected, slug
from evercast.publication.report.systematics import (
    effect_of,
    parameter_of,
    processes_of,
    regions_used,
    varied_templates,
    yield_factor,
)
from evercast.spec.model import Analysis, BinnedChannel, NormalisationSystematic, Systematic, TwoPointSystematic

__all__ = ["systematics_section"]

MOST_FIGURES = 30
"""Figures drawn at most: beyond, a page of many megabytes would show what nobody reads."""
MOST_PANELS = 8
_KINDS = {
    "normalisation": "normalisation", "shape": "varied samples", "normalisation+shape": "varied samples",
    "kinematic": "kinematic, selected again", "weight": "event weights", "two_point": "two-point",
}  # fmt: skip
_EFFECTS = {"shape": "shape", "normalisation": "yield", "normalisation+shape": "yield and shape"}


def systematics_section(analysis: Analysis, selected: Selected) -> Section | None:
    """Return all systematics with their effects and their variations, None where the document has none."""
    if not analysis.systematics:
        return None
    blocks: list[Block] = [_declared(analysis), _effects(analysis, selected)]
    galleries = [block for block in _galleries(analysis, selected) if block is not None]
    blocks += galleries[:MOST_FIGURES]
    if len(galleries) > MOST_FIGURES:
        text = f"{len(galleries) - MOST_FIGURES} more comparisons of shapes are left out of this page."
        blocks.append(Paragraph(text=text))
    lead = (
        "Every systematic has one nuisance parameter with a unit normal constraint; systematics that share a "
        "parameter are fully correlated. Effects are those at ±1, in the regions where channels use them."
    )
    kept = tuple(block for block in blocks if not isinstance(block, Table) or block.rows)
    return Section(anchor="systematics", title="Systematic uncertainties", lead=lead, blocks=kept)


def _declared(analysis: Analysis) -> Table:
    rows = tuple(
        (
            Cell(name, "code"),
            Cell(to_html(item.title or "–")),
            Cell(_kind(item)),
            Cell(_EFFECTS[effect_of(item)]),
            Cell(parameter_of(name, item), "code"),
            Cell(", ".join(processes_of(item))),
            Cell(", ".join(item.channels) or "all"),
        )
        for name, item in analysis.systematics.items()
    )
    headers = ("systematic", "title", "kind", "changes", "parameter", "processes", "channels")
    return Table(title="Declared", headers=headers, rows=rows)


def _kind(item: Systematic) -> str:
    text = _KINDS[item.kind]
    if isinstance(item, NormalisationSystematic):
        return f"{text}, code {item.code}"
    if isinstance(item, TwoPointSystematic):
        return f"{text}, {'symmetrised' if item.symmetrise else 'one-sided'}"
    return text


def _acts_in(item: Systematic, channels: tuple[str, ...]) -> bool:
    return not item.channels or bool(set(item.channels) & set(channels))


def _effects(analysis: Analysis, selected: Selected) -> Table:
    rows = []
    for name, item in analysis.systematics.items():
        for process in processes_of(item):
            for region, channels in regions_used(analysis).items():
                nominal = selected.tables.get(analysis.processes[process].sample)
                if nominal is None or not _acts_in(item, channels):
                    continue
                total = float(nominal.in_region(region).weight.sum())
                up, down = (_factor(selected, name, item, process, side, region, total) for side in ("up", "down"))
                rows.append((
                    Cell(name, "code"), Cell(process, "code"), Cell(region, "code"),
                    Cell(f"{total:.4g}", "number"), Cell(_percent(up), "number"), Cell(_percent(down), "number"),
                ))  # fmt: skip
    headers = ("systematic", "process", "region", "nominal events", "yield at +1", "yield at −1")
    note = "Changes of the expected events of the process; a systematic of the shape alone leaves them as they are."
    return Table(title="Effect on the yields", headers=headers, rows=tuple(rows), note=note, folded=len(rows) > 20)


def _factor(
    selected: Selected, name: str, item: Systematic, process: str, side: str, region: str, nominal: float
) -> float | None:
    source = "up" if isinstance(item, TwoPointSystematic) else side
    table = selected.varied.side(name, process, source, region)
    return yield_factor(item, side, nominal=nominal, varied=None if table is None else float(table.weight.sum()))


def _percent(factor: float | None) -> str:
    return "–" if factor is None else f"{100 * (factor - 1):+.2f} %".replace("-", "−")


def _galleries(analysis: Analysis, selected: Selected) -> Iterator[Gallery | None]:
    for name, item in analysis.systematics.items():
        if isinstance(item, NormalisationSystematic):
            continue
        for process in processes_of(item):
            for region, channels in regions_used(analysis).items():
                if _acts_in(item, channels):
                    yield _gallery(analysis, selected, name, process, region)


def _observables(analysis: Analysis, region: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for likelihood in analysis.likelihoods.values():
        for channel in likelihood.channels.values():
            if isinstance(channel, BinnedChannel):
                if channel.region == region:
                    found[channel.observable] = None
            elif analysis.ensembles[channel.ensemble].region == region:
                found |= dict.fromkeys(analysis.ensembles[channel.ensemble].observables)
    return tuple(found)[:MOST_PANELS]


def _gallery(analysis: Analysis, selected: Selected, name: str, process: str, region: str) -> Gallery | None:
    panels = [
        panel
        for observable in _observables(analysis, region)
        if (panel := _variation(analysis, selected, name, process, region, observable)) is not None
    ]
    if not panels:
        return None
    declared = analysis.processes[process]
    title = f"{name}: {to_plain(declared.title or process)} in {region}"
    caption = Markup(
        "{}: nominal, up (solid) and down (dashed), with the effect as declared; the band is the statistical "
        "uncertainty of the nominal simulation."
    ).format(to_html(title))
    drawing = figures.variations(f"varied-{slug(name)}-{slug(process)}-{slug(region)}", panels, caption=caption)
    return Gallery(drawings=(drawing,), title=title, folded=True)


def _variation(
    analysis: Analysis, selected: Selected, name: str, process: str, region: str, observable: str
) -> Variation | None:
    sample = selected.tables.get(analysis.processes[process].sample)
    if sample is None:
        return None
    table = sample.in_region(region)
    sides = [selected.varied.side(name, process, side, region) for side in ("up", "down")]
    if not len(table) or all(side is None for side in sides):
        return None
    edges = event_edges([table], observable, bins=16)
    values = table.columns([observable])[:, 0]
    nominal = np.histogram(values, edges, weights=table.weight)[0]
    filled = [
        None if side is None else np.histogram(side.columns([observable])[:, 0], edges, weights=side.weight)[0]
        for side in sides
    ]
    up, down = varied_templates(analysis.systematics[name], nominal, filled[0], filled[1])
    described = analysis.selection.observables[observable]
    return Variation(
        edges=edges, nominal=nominal, error=np.sqrt(np.histogram(values, edges, weights=table.weight**2)[0]),
        up=up, down=down, axis=described.label or observable, unit=described.unit,
    )  # fmt: skip
