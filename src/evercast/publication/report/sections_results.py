"""The result: headlines, one sentence, table, profile likelihoods, nuisance parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from evercast.publication.plots.figure import Label
from evercast.publication.plots.inference import Interval, ProfileCurve, Pull
from evercast.publication.report import figures
from evercast.publication.report.blocks import Block, Cell, Gallery, Headline, Section, Table
from evercast.publication.report.figures import Drawing
from evercast.publication.report.mathtext import to_html
from evercast.publication.report.sections_inference import likelihood_title, poi_axis, result_color
from evercast.publication.report.systematics import parameter_of
from evercast.publication.report.view import JsonView
from evercast.publication.results import (
    BLINDED,
    FittedParameter,
    LikelihoodResult,
    Outcome,
    UpperLimit,
    decimals,
    observed_text,
    with_interval,
    with_limit,
)
from evercast.spec.model import Analysis

__all__ = ["headlines", "result_sentence", "results_section"]


def headlines(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> tuple[Headline, ...]:
    """Return one headline a likelihood; without trust in the fit it shows the message and no number."""
    return tuple(
        Headline(
            title=_title(analysis, result),
            poi=poi_markup(analysis, result),
            observed=observed_text(result),
            expected=with_interval(result.expected) if result.trusted else "–",
            z_observed=_z_observed(result),
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
        return _without_numbers(analysis, results)
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


def _without_numbers(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> Markup:
    """Return the sentence of a run without observed results."""
    blind = [result for result in results if result.trusted and result.blinded]
    if not blind:
        return Markup("No fit of this run gave a number that can be trusted.")
    clauses = [
        Markup("{} expects {} = <b>{}</b>").format(
            _title(analysis, result), poi_markup(analysis, result), with_interval(result.expected)
        )
        for result in blind
    ]
    channels = ", ".join(dict.fromkeys(channel for result in blind for channel in result.blinded))
    return Markup("; ").join(clauses) + Markup(". The data of {} are blind.").format(channels)


def results_section(
    analysis: Analysis, results: tuple[LikelihoodResult, ...], label: Label, training: Mapping[str, JsonView]
) -> Section:
    """Return the table of results, the profile likelihoods and the other parameters.

    Args:
        analysis: the document.
        results: of all fits.
        label: line above figures.
        training: likelihood -> result of the stage training_statistics.
    """
    shown = tuple(result for result in results if result.trusted)
    blocks: list[Block] = [_table(analysis, results, training)]
    remarks = _remarks(analysis, shown)
    blocks += [remarks] if remarks.rows else []
    drawings = [d for d in (_profiles(analysis, shown, label), _intervals(analysis, shown, label)) if d is not None]
    if drawings:
        blocks.append(Gallery(drawings=tuple(drawings), pair=True))
    pulls = [(result, drawing) for result in shown if (drawing := _pulls(analysis, result)) is not None]
    if pulls:
        blocks.append(Gallery(drawings=tuple(drawing for _, drawing in pulls), title="Constrained parameters"))
    blocks += [_parameters(analysis, result) for result in shown if result.observed or result.expected]
    kinds = {r.expected_kind for r in shown if r.expected_kind}
    made = f" Asimov data: {', '.join(sorted(kinds))}." if kinds else ""
    lead = f"Expected results come from Asimov data of the nominal model.{made}"
    return Section(anchor="results", title="Results", lead=lead, blocks=tuple(blocks))


def poi_markup(analysis: Analysis, result: LikelihoodResult) -> Markup:
    """Return the parameter of interest as it is written in text."""
    parameter = analysis.parameters.get(result.poi)
    return to_html((parameter.label if parameter else None) or result.poi)


def _poi_axis(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> str:
    return poi_axis(analysis, results[0].poi if results else "mu")


def _title(analysis: Analysis, result: LikelihoodResult) -> str:
    return likelihood_title(analysis, result.name)


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


def _z_observed(result: LikelihoodResult) -> str:
    if not result.trusted:
        return "–"
    return BLINDED if result.blinded else _z(result.observed)


def _table(analysis: Analysis, results: tuple[LikelihoodResult, ...], training: Mapping[str, JsonView]) -> Table:
    """Return the table of results; columns that are empty for all likelihoods are left out."""
    headers = (
        "likelihood", "parameter", "observed", "expected", "Z observed", "Z expected", "limit observed",
        "limit expected", "from training statistics", "fit guard",
    )  # fmt: skip
    rows = [_row(analysis, result, training.get(result.name, JsonView())) for result in results]
    limits = any(row[column].text not in ("–", BLINDED) for row in rows for column in (6, 7))
    shown = {
        "parameter": len({result.poi for result in results}) > 1, "limit observed": limits, "limit expected": limits,
        "from training statistics": any(row[8].text != "–" for row in rows),
    }  # fmt: skip
    kept = [column for column, header in enumerate(headers) if shown.get(header, True)]
    title = "Results" if shown["parameter"] else Markup("Results for {}").format(poi_markup(analysis, results[0]))
    return Table(
        title=title, headers=tuple(headers[column] for column in kept), note=_note(results), stacked=True,
        rows=tuple(tuple(row[column] for column in kept) for row in rows),
    )  # fmt: skip


def _row(analysis: Analysis, result: LikelihoodResult, training: JsonView) -> tuple[Cell, ...]:
    trusted = result.trusted
    observed = result.observed.limit if trusted and result.observed else None
    expected = result.expected.limit if trusted and result.expected else None
    seen = BLINDED if trusted and result.blinded else with_limit(observed)
    return (
        Cell(_title(analysis, result)),
        Cell(poi_markup(analysis, result)),
        Cell(observed_text(result), "number"),
        Cell(with_interval(result.expected) if trusted else "–", "number"),
        Cell(_z_observed(result), "number"),
        Cell(_z(result.expected) if trusted else "–", "number"),
        Cell(seen, "number"),
        Cell(_expected_limit(observed, expected), "number"),
        Cell(_training(training) if trusted else "–", "number"),
        Cell("passed" if trusted else "; ".join((result.status, *result.guard)), "good" if trusted else "bad"),
    )


def _expected_limit(observed: UpperLimit | None, expected: UpperLimit | None) -> str:
    """Return the median expected limit; its band stands with the other limits."""
    limit = observed if observed is not None and observed.band.size == 5 else expected
    if limit is None:
        return "–"
    return with_limit(limit) if limit.band.size != 5 else f"< {float(limit.band[2]):.3g}"


def _training(body: JsonView) -> str:
    """Return the uncertainty from the training samples by the bootstrap, else by weighted members."""
    for name in ("bootstrap", "weighted_members"):
        for side in ("observed", "expected"):
            sigma = body.number(side, "estimates", name, "sigma")
            if sigma is not None:
                return f"± {sigma:.2g}"
    return "–"


def _remarks(analysis: Analysis, results: tuple[LikelihoodResult, ...]) -> Table:
    """Return what the guard of each fit that passed has to say all the same."""
    rows = tuple((Cell(_title(analysis, result)), Cell(text)) for result in results for text in result.guard)
    return Table(title="Remarks of the fits", headers=("likelihood", "remark"), rows=rows, folded=len(rows) > 6)


def _note(results: tuple[LikelihoodResult, ...]) -> str | None:
    sides = [side for result in results for side in (result.observed, result.expected) if side is not None]
    level = next((side.confidence_level for side in sides if side.confidence_level), None)
    limit = next((side.limit for side in sides if side.limit), None)
    notes = [f"Errors are profile likelihood intervals at {100 * level:.4g} % confidence level."] if level else []
    if limit is not None:
        notes.append(f"Limits are CLs at {100 * limit.confidence_level:.4g} % confidence level, {limit.method}.")
    blind = sorted({channel for result in results for channel in result.blinded})
    if blind:
        notes.append(
            f"Blind, so that nothing observed was computed: {', '.join(blind)}. An exported workspace holds expected "
            "counts there."
        )
    return " ".join(notes) or None


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
                    color=result_color(index),
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
            color=result_color(index),
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
    outcome = result.observed or result.expected
    if outcome is None:
        return None
    constrained = {parameter_of(name, item) for name, item in analysis.systematics.items()}
    constrained |= {n for n, p in analysis.parameters.items() if p.constraint == "normal"}
    items = tuple(
        Pull(title=name, value=parameter.value, uncertainty=parameter.uncertainty)
        for name, parameter in outcome.parameters.items()
        if name in constrained and parameter.uncertainty is not None
    )
    if not items:
        return None
    kind = "fitted" if result.observed else "expected"
    name = f"pulls-{''.join(c if c.isalnum() and c.isascii() else '-' for c in result.name)}"
    return figures.pulls(name, items, caption=f"{_title(analysis, result)}: {kind} values in units of the constraint.")


def _parameters(analysis: Analysis, result: LikelihoodResult) -> Table:
    observed = result.observed.parameters if result.observed else {}
    expected = result.expected.parameters if result.expected else {}
    rows = tuple(
        (
            Cell(name, "code"),
            Cell(_fitted(parameter) if observed else BLINDED, "number"),
            Cell(_fitted(expected.get(name)), "number"),
            Cell("at bound" if parameter.at_bound else "", "look" if parameter.at_bound else "plain"),
        )
        for name, parameter in (observed or expected).items()
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
