"""The part of a bundle's page that says where it may be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from evercast.artifacts.validity import Domain, EnsembleDomain, ObservableRange, read_validity
from evercast.publication.report.blocks import Block, Cell, Paragraph, Section, Table

__all__ = ["domain_section"]

_WIDTH: Final = 200.0
_HEIGHT: Final = 22.0


def domain_section(folder: Path, manifest: Mapping[str, Any]) -> Section:
    """Return where the likelihood may be used, and what happens outside.

    Args:
        folder: of the bundle, with ``validity.json``.
        manifest: of the core bundle.

    Raises:
        InvalidInput: ``validity.missing``.
        IntegrityError: ``validity.damaged``.
    """
    domain = read_validity(folder)
    blocks: list[Block] = []
    for name, ensemble in domain.ensembles.items():
        blocks += _ensemble(name, ensemble, several=len(domain.ensembles) > 1)
    blocks.append(_parameters(domain))
    blocks.append(Paragraph(text=f"Outside: {domain.outside.rule}"))
    energies = ", ".join(f"{energy:g}" for energy in domain.sqrt_s_tev)
    lead = (
        f"The likelihood is of {domain.experiment} at {energies} TeV and of the selection below. Parameters must "
        "stay in their box."
    )
    if manifest["disclosure"] != "ratios":
        lead += " Networks know nothing of events unlike those they learned from: such events are found and refused."
    return Section(anchor="domain", title="Where it may be used", lead=lead, blocks=tuple(blocks))


def _ensemble(name: str, ensemble: EnsembleDomain, *, several: bool) -> list[Block]:
    of = f" ({name})" if several else ""
    rows = [(Cell("region"), Cell(f"{ensemble.region}: {ensemble.cut}", "code"))]
    for sample, one in ensemble.training.items():
        share = f", {100 * one.reference:.3g} % of the reference" if one.reference else ""
        text = f"{one.events} events, worth {one.effective_events:.0f} of equal weight{share}"
        rows.append((Cell(f"sample {sample}"), Cell(text)))
    support = ensemble.support
    if support is not None:
        rate = support.false_positive.rate
        measured = (
            "not measured: the sample is too small" if rate is None
            else f"{100 * rate:.2f} ± {100 * (support.false_positive.uncertainty or 0.0):.2f} % of "
            f"{support.false_positive.events} held-out events are found outside"
        )  # fmt: skip
        text = (
            f"distance to the nearest reference event number {support.neighbour} of {support.points}, standardised, at "
            f"most {support.threshold:.3g}; {measured}"
        )
        rows.append((Cell("joint support"), Cell(text)))
        rows.append((Cell("its points"), Cell(f"{support.points} {support.points_are}")))
    elif ensemble.observables:
        text = "not tested: no simulated events are published; ranges and quantiles of each observable alone are"
        rows.append((Cell("joint support"), Cell(text)))
    blocks: list[Block] = [Table(title=f"Selection and training{of}", headers=("", ""), rows=tuple(rows))]
    if ensemble.observables:
        blocks.append(_ranges(ensemble, of))
    return blocks


def _ranges(ensemble: EnsembleDomain, of: str) -> Table:
    rows = tuple(
        (
            Cell(one.name, "code"),
            Cell(f"{one.low:.5g}", "number"),
            Cell(_bar(one)),
            Cell(f"{one.high:.5g}", "number"),
            Cell("" if one.unit == "1" else one.unit),
        )
        for one in ensemble.observables
    )
    note = "Line: the whole range of the reference sample; light: 1 % to 99 %; dark: 25 % to 75 %; gap: the median."
    return Table(
        title=f"Ranges of the observables{of}", headers=("observable", "from", "", "to", "unit"), rows=rows, note=note
    )


def _bar(one: ObservableRange) -> Markup:
    """Return a bar with the quantiles of an observable between its lowest and highest value."""
    span = one.high - one.low
    at = {fraction: _WIDTH * (value - one.low) / span if span > 0 else 0.0 for fraction, value in one.quantiles}
    low, quarter, middle, three, high = (at.get(q, 0.0) for q in (0.01, 0.25, 0.5, 0.75, 0.99))
    return Markup(
        '<svg class="range" viewBox="0 0 {w:.0f} {h:.0f}" preserveAspectRatio="none" aria-hidden="true">'
        '<line class="whole" x1="0" x2="{w:.0f}" y1="{m:.0f}" y2="{m:.0f}"/>'
        '<rect class="most" x="{low:.1f}" y="6" width="{most:.1f}" height="10"/>'
        '<rect class="half" x="{quarter:.1f}" y="6" width="{half:.1f}" height="10"/>'
        '<line class="middle" x1="{middle:.1f}" x2="{middle:.1f}" y1="6" y2="16"/></svg>'
    ).format(
        w=_WIDTH, h=_HEIGHT, m=_HEIGHT / 2, low=low, most=max(high - low, 1.0), quarter=quarter,
        half=max(three - quarter, 1.0), middle=middle,
    )  # fmt: skip


def _parameters(domain: Domain) -> Table:
    rows = tuple(
        (
            Cell(name, "code"),
            Cell("−∞" if one.low is None else f"{one.low:.5g}", "number"),
            Cell("∞" if one.high is None else f"{one.high:.5g}", "number"),
            Cell("" if one.learned is None else f"densities learned at {one.learned[0]:g} and {one.learned[1]:g}"),
        )
        for name, one in domain.parameters.items()
    )
    return Table(
        title="Box of the parameters", headers=("parameter", "from", "to", ""), rows=rows, folded=len(rows) > 8
    )
