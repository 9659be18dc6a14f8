"""The result: headlines, one sentence, table, profile likelihoods, nuisance parameters."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from evercast.publication.plots.figure import PALETTE, Label
from evercast.publication.plots.inference import Interval, ProfileCurve, Pull
from evercast.publication.report import figures
from evercast.publication.report.blocks import Block, Cell, Gallery, Headline, Section, Table
from evercast.publication.report.figures import Drawing
from evercast.publication.report.mathtext import to_html
from evercast.publication.results import FittedParameter, LikelihoodResult, Outcome, decimals, with_interval
from evercast.spec.model import Analysis

__all__ = ["headlines", "result_sentence", "results_section"]

_COLORS = (PALETTE[0], PALETTE[2], PALETTE[4], PALETTE[6], PALETTE[5], PALETTE[3])


def headlines(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> tuple[Headline, ...]:
    """Return one headline a likelihood; without trust in the fit it shows the message and no number."""
    return tuple(
        Headline(
            title=_title(analysis, result),
            poi=poi_markup(analysis, result),
            observed=with_interval(result.observed) if result.trusted else "–",
            expected=with_interval(result.expected) if result.trusted else "–",
            z_observed=_z(result.observed) if result.trusted else "–",
            z_expected=_z(result.expected) if result.trusted else "–",
            trusted=result.trusted,
            message="; ".join(result.guard) or result.status,
        )
        for result in results
    )


def result_sentence(
    analysis: Analysis, results: tuple[LikelihoodResult, ...], *, n_observed: int | None, pseudo: bool
) -> Markup:
    """Return the result in one sentence; only fits that can be trusted are in it."""
    trusted = [r for r in results if r.trusted and r.observed is not None and r.observed.value is not None]
    if not trusted:
        return Markup("No fit of this run gave a number that can be trusted.")
    clauses = [
        Markup("{} gives {} = <b>{}</b>{}").format(
            _title(analysis, result),
            poi_markup(analysis, result),
            with_interval(result.observed),
            _expected_clause(result),
        )
        for result in trusted
    ]
    kind = "pseudo-data" if pseudo else "observed"
    start = Markup("") if n_observed is None else Markup("{} {} events: ").format(n_observed, kind)
    return start + Markup("; ").join(clauses) + Markup(".")


def results_section(analysis: Analysis, results: tuple[LikelihoodResult, ...], label: Label) -> Section:
    """Return the table of results, the profile likelihoods and the other parameters."""
    shown = tuple(result for result in results if result.trusted)
    blocks: list[Block] = [_table(analysis, results)]
    drawings = [d for d in (_profiles(analysis, shown, label), _intervals(analysis, shown, label)) if d is not None]
    if drawings:
        blocks.append(Gallery(drawings=tuple(drawings), pair=True))
    pulls = [(result, drawing) for result in shown if (drawing := _pulls(analysis, result)) is not None]
    if pulls:
        blocks.append(Gallery(drawings=tuple(drawing for _, drawing in pulls), title="Constrained parameters"))
    blocks += [_parameters(analysis, result) for result in shown if result.observed]
    kinds = {r.expected_kind for r in shown if r.expected_kind}
    made = f" Asimov data: {', '.join(sorted(kinds))}." if kinds else ""
    lead = f"Expected results come from Asimov data of the nominal model.{made}"
    return Section(anchor="results", title="Results", lead=lead, blocks=tuple(blocks))


def poi_markup(analysis: Analysis, result: LikelihoodResult) -> Markup:
    """Return the parameter of interest as it is written in text."""
    parameter = analysis.parameters.get(result.poi)
    return to_html((parameter.label if parameter else None) or result.poi)


def _poi_axis(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> str:
    poi = results[0].poi if results else "mu"
    parameter = analysis.parameters.get(poi)
    return (parameter.label if parameter else None) or poi


def _title(analysis: Analysis, result: LikelihoodResult) -> str:
    likelihood = analysis.likelihoods.get(result.name)
    return (likelihood.title if likelihood else None) or result.name


def _expected_clause(result: LikelihoodResult) -> Markup:
    parts = []
    if result.expected and result.expected.value is not None:
        parts.append(f"expected {with_interval(result.expected)}")
    if result.observed and result.observed.z is not None:
        expected = f", expected {_z(result.expected)}" if result.expected and result.expected.z is not None else ""
        parts.append(f"significance {_z(result.observed)} σ{expected}")
    return Markup(" ({})").format("; ".join(parts)) if parts else Markup("")


def _z(outcome: Outcome | None) -> str:
    return "–" if outcome is None or outcome.z is None else f"{outcome.z:.2f}"


def _table(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> Table:
    rows = tuple(
        (
            Cell(_title(analysis, result)),
            Cell(poi_markup(analysis, result)),
            Cell(with_interval(result.observed) if result.trusted else "–", "number"),
            Cell(with_interval(result.expected) if result.trusted else "–", "number"),
            Cell(_z(result.observed) if result.trusted else "–", "number"),
            Cell(_z(result.expected) if result.trusted else "–", "number"),
            Cell("; ".join(("passed" if result.trusted else result.status, *result.guard)),
                 "good" if result.trusted else "bad"),
        )
        for result in results
    )  # fmt: skip
    level = next((r.observed.confidence_level for r in results if r.observed and r.observed.confidence_level), None)
    note = f"Errors are profile likelihood intervals at {100 * level:.4g} % confidence level." if level else None
    headers = ("likelihood", "parameter", "observed", "expected", "Z observed", "Z expected", "fit guard")
    return Table(title="Results", headers=headers, rows=rows, note=note)


def _curves(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> tuple[ProfileCurve, ...]:
    curves = []
    for index, result in enumerate(results):
        for outcome, expected in ((result.observed, False), (result.expected, True)):
            if outcome is None or outcome.scan_values.size < 2 or outcome.scan_values.shape != outcome.scan_t.shape:
                continue
            kept = np.isfinite(outcome.scan_t)
            curves.append(
                ProfileCurve(
                    title=_title(analysis, result),
                    color=_COLORS[index % len(_COLORS)],
                    values=outcome.scan_values[kept],
                    t=outcome.scan_t[kept],
                    expected=expected,
                )
            )
    return tuple(curves)


def _profiles(analysis: Analysis, results: tuple[LikelihoodResult, ...], label: Label) -> Drawing | None:
    curves = _curves(analysis, results)
    if not curves:
        return None
    caption = (
        "Profile likelihoods, observed (solid) and expected from Asimov data (dashed). The dotted lines are the "
        "68\u00a0% and 95\u00a0% levels of a chi-squared with one degree of freedom. "
        "Lines interpolate between the scanned points."
    )
    return figures.profiles("profiles", curves, label, axis=_poi_axis(analysis, results), caption=caption)


def _intervals(analysis: Analysis, results: tuple[LikelihoodResult, ...], label: Label) -> Drawing | None:
    items = tuple(
        Interval(
            title=_title(analysis, result),
            color=_COLORS[index % len(_COLORS)],
            value=outcome.value,
            low=outcome.low,
            high=outcome.high,
            expected=expected,
        )
        for index, result in enumerate(results)
        for outcome, expected in ((result.observed, False), (result.expected, True))
        if outcome is not None and outcome.value is not None
    )
    if not items:
        return None
    return figures.intervals(
        "intervals", items, label, axis=_poi_axis(analysis, results), caption="Best values and intervals side by side."
    )


def _pulls(analysis: Analysis, result: LikelihoodResult) -> Drawing | None:
    if result.observed is None:
        return None
    constrained = set(analysis.systematics) | {n for n, p in analysis.parameters.items() if p.constraint == "normal"}
    items = tuple(
        Pull(title=name, value=parameter.value, uncertainty=parameter.uncertainty)
        for name, parameter in result.observed.parameters.items()
        if name in constrained and parameter.uncertainty is not None
    )
    if not items:
        return None
    name = f"pulls-{''.join(c if c.isalnum() and c.isascii() else '-' for c in result.name)}"
    return figures.pulls(name, items, caption=f"{_title(analysis, result)}: fitted values in units of the constraint.")


def _parameters(analysis: Analysis, result: LikelihoodResult) -> Table:
    observed = result.observed.parameters if result.observed else {}
    expected = result.expected.parameters if result.expected else {}
    rows = tuple(
        (
            Cell(name, "code"),
            Cell(_fitted(parameter), "number"),
            Cell(_fitted(expected.get(name)), "number"),
            Cell("at bound" if parameter.at_bound else "", "look" if parameter.at_bound else "plain"),
        )
        for name, parameter in observed.items()
    )
    return Table(
        title=f"All parameters: {_title(analysis, result)}", headers=("parameter", "observed", "expected", ""),
        rows=rows, note="Uncertainties from the Hessian at the minimum.", folded=True,
    )  # fmt: skip


def _fitted(parameter: FittedParameter | None) -> str:
    if parameter is None:
        return "–"
    if parameter.uncertainty is None:
        return f"{parameter.value:.3g}"
    digits = decimals(parameter.uncertainty)
    return f"{parameter.value:.{digits}f} ± {parameter.uncertainty:.{digits}f}".replace("-", "−")
