"""Sections on pseudo-experiments (Neyman intervals, coverage, limits, goodness of fit) and on training statistics."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from evercast.artifacts.arrays import read_arrays
from evercast.publication.plots.figure import Label
from evercast.publication.plots.statistics import NeymanBand, draw_neyman, draw_toys
from evercast.publication.report import figures
from evercast.publication.report.blocks import Block, Cell, Gallery, Paragraph, Section, Table
from evercast.publication.report.figures import Drawing, Frame
from evercast.publication.report.sections_inference import likelihood_title, poi_axis
from evercast.publication.report.sections_selection import slug
from evercast.publication.report.units import Unit, of_stage
from evercast.publication.report.view import JsonView, read_view
from evercast.spec.model import Analysis

__all__ = ["studies_section", "training_statistics_section"]

_FRAME = Frame(width=6.6, height=5.2)


def studies_section(analysis: Analysis, units: tuple[Unit, ...], label: Label) -> Section | None:
    """Return all studies with pseudo-experiments, None where there are none.

    Raises:
        IntegrityError: a file of a study is damaged.
    """
    blocks: list[Block] = []
    for unit in of_stage(units, "study"):
        blocks += _study(analysis, unit, units, label)
    if not blocks:
        return None
    lead = (
        "Pseudo-experiments are thrown at fixed true values, with their own measured values behind the constraints, "
        "and fitted like data."
    )
    return Section(anchor="studies", title="Pseudo-experiments", lead=lead, blocks=tuple(blocks))


def _study(analysis: Analysis, unit: Unit, units: tuple[Unit, ...], label: Label) -> Iterator[Block]:
    body = read_view(unit.folder / "result.json")
    name = f"{unit.name} ({likelihood_title(analysis, body.text('likelihood') or '?')})"
    failed, toys = body.number("failed") or 0, body.number("toys") or 0
    where = (
        f"; blind, the data are Asimov data: {', '.join(_texts(body, 'blinded'))}" if _texts(body, "blinded") else ""
    )
    yield Paragraph(
        text=f"{name}: {toys:.0f} pseudo-experiments, {failed:.0f} of them could not be fitted; other parameters "
        f"{body.text('nuisance') or 'nominal'}; seed {body.number('seed') or 0:.0f}{where}."
    )
    if body.text("status") == "failed":
        yield Paragraph(text=f"The study failed, there is no result: {body.text('reason') or 'no reason is known'}.")
        return
    axis = poi_axis(analysis, body.text("poi") or "mu")
    match body.text("purpose"):
        case "neyman":
            yield from _neyman(unit, body, axis, label)
        case "coverage":
            yield _coverage(unit, body)
        case "injection":
            yield _injection(unit, body)
        case "limit":
            yield from _limit(unit, body)
        case "goodness_of_fit":
            yield from _goodness(unit, body, units, label)
        case _:
            return


def _texts(body: JsonView, key: str) -> tuple[str, ...]:
    return tuple(text for entry in body.entries(key) if (text := entry.text()))


def _neyman(unit: Unit, body: JsonView, axis: str, label: Label) -> Iterator[Block]:
    bands, rows = [], []
    for interval in body.entries("intervals"):
        points = list(interval.entries("points"))
        level = interval.number("confidence_level") or 0.0
        t = np.array([point.number("t") if point.number("t") is not None else np.nan for point in points], dtype=float)
        bands.append(
            NeymanBand(
                confidence_level=level, values=_column(points, "value"), critical=_column(points, "critical"),
                error=_column(points, "error"), asymptotic=points[0].number("asymptotic") or 0.0 if points else 0.0,
                t=t if np.isfinite(t).all() else None, data="Asimov data" if _texts(body, "blinded") else "data",
            )
        )  # fmt: skip
        rows.append((
            Cell(f"{100 * level:.4g} %", "number"), Cell(_segments(interval, "segments"), "number"),
            Cell(_segments(interval, "asymptotic_segments"), "number"), Cell(_open_ends(interval)),
        ))  # fmt: skip
    if not bands:
        return

    def draw(ax: Axes, content: tuple[NeymanBand, ...]) -> None:
        draw_neyman(ax, content, axis=axis)

    caption = "Critical values of t from pseudo-experiments (points), asymptotic ones (dashed), and t of the data."
    name = f"neyman-{slug(unit.name)}"
    yield Gallery(drawings=(figures.labelled(name, tuple(bands), draw, _FRAME, label, caption=caption),))
    headers = ("level", "interval, Neyman construction", "the same, asymptotic", "ends")
    yield Table(title="Intervals", headers=headers, rows=tuple(rows))


def _column(points: list[JsonView], key: str) -> np.ndarray:
    return np.array([point.number(key) or 0.0 for point in points], dtype=float)


def _segments(interval: JsonView, key: str) -> str:
    parts = [view.numbers() for view in interval.entries(key)]
    return (
        " ∪ ".join(f"[{part[0]:.4g}, {part[1]:.4g}]" for part in parts if part.size == 2).replace("-", "−") or "empty"
    )


def _open_ends(interval: JsonView) -> str:
    ends = [text for key, text in (("open_low", "below"), ("open_high", "above")) if interval.flag(key)]
    return f"open {' and '.join(ends)} the tested values" if ends else "closed"


def _coverage(unit: Unit, body: JsonView) -> Table:
    rows = tuple(
        (
            Cell(_number(entry.number("value")), "number"),
            Cell(_percent(entry.number("confidence_level"), None), "number"),
            Cell(_percent(entry.number("asymptotic"), entry.number("error")), "number"),
            Cell(_percent(entry.number("neyman"), entry.number("neyman_error")), "number"),
            Cell(_number(entry.number("toys")), "number"),
        )
        for entry in body.entries("coverage")
    )
    headers = ("true value", "level", "asymptotic intervals", "Neyman construction", "pseudo-experiments")
    return Table(title=f"Coverage, {unit.name}", headers=headers, rows=rows, note="Errors are binomial.")


def _injection(unit: Unit, body: JsonView) -> Table:
    rows = tuple(
        (
            Cell(_number(entry.number("value")), "number"),
            Cell(f"{_number(entry.number('mean'))} ± {entry.number('error') or 0:.2g}", "number"),
            Cell(_number(entry.number("spread")), "number"),
            Cell(_number(entry.number("median")), "number"),
            Cell(", ".join(_held(level) for level in entry.entries("coverage"))),
            Cell(_number(entry.number("toys")), "number"),
        )
        for entry in body.entries("injection")
    )
    headers = ("injected", "recovered, mean", "spread", "median", "intervals that hold it", "pseudo-experiments")
    note = "Events of each process are those of its own generator; no learned ratio weights them."
    return Table(title=f"Injection, {unit.name}", headers=headers, rows=rows, note=note)


def _held(level: JsonView) -> str:
    share = _percent(level.number("share"), level.number("error"))
    return f"{share} at {_percent(level.number('confidence_level'), None)}"


def _limit(unit: Unit, body: JsonView) -> Iterator[Block]:
    limit, blind = body.at("limit"), bool(_texts(body, "blinded"))
    band = [view.number() for view in limit.entries("expected")]
    observed = "blinded" if blind else _number(limit.number("observed"))
    error = limit.number("error")
    rows = ((
        Cell(_percent(limit.number("confidence_level"), None), "number"),
        Cell(observed + ("" if error is None or blind else f" ± {error:.2g}"), "number"),
        *(Cell(_number(value), "number") for value in band),
    ),)  # fmt: skip
    headers = ("level", "observed", "−2 σ", "−1 σ", "expected", "+1 σ", "+2 σ")[: 2 + len(band)]
    yield Table(title=f"CLs upper limit from pseudo-experiments, {unit.name}", headers=headers, rows=rows)
    points = tuple(
        (
            Cell(_number(entry.number("value")), "number"),
            Cell("blinded" if blind else _number(entry.number("cls_obs")), "number"),
            Cell(_number(entry.number("cls_exp", 2)), "number"),
        )
        for entry in body.entries("points")
    )
    yield Table(title="CLs at each value", headers=("value", "CLs observed", "CLs expected"), rows=points, folded=True)


def _goodness(unit: Unit, body: JsonView, units: tuple[Unit, ...], label: Label) -> Iterator[Block]:
    found = body.at("goodness_of_fit")
    blind = bool(_texts(body, "blinded"))
    statistic = None if blind else found.number("statistic")
    toys = _toy_statistics(unit, units)
    freedom = found.number("degrees_of_freedom")
    if toys.size:
        yield Gallery(drawings=(_goodness_drawing(unit, toys, statistic, freedom, label),))
    rows = ((
        Cell("Asimov data" if blind else _number(statistic), "number"), Cell(_number(freedom), "number"),
        Cell("–" if blind else _number(found.number("p")), "number"),
        Cell("–" if blind else _number(found.number("p_toys")), "number"),
    ),)  # fmt: skip
    headers = ("statistic", "degrees of freedom", "p, asymptotic", "p, pseudo-experiments")
    yield Table(title=f"Goodness of fit, {unit.name}", headers=headers, rows=rows)


def _goodness_drawing(
    unit: Unit, toys: np.ndarray, statistic: float | None, freedom: float | None, label: Label
) -> Drawing:
    edges = np.linspace(float(toys.min()), float(np.quantile(toys, 0.999)), 31)
    counts = np.histogram(toys, edges)[0].astype(float)
    density = None if not freedom else len(toys) * np.diff(stats.chi2.cdf(edges, freedom))

    def draw(ax: Axes, content: np.ndarray) -> None:
        draw_toys(ax, edges, content, observed=statistic, axis="statistic of the goodness of fit", density=density)

    caption = "The statistic of the goodness of fit in pseudo-experiments and in the data."
    return figures.labelled(f"goodness-{slug(unit.name)}", counts, draw, _FRAME, label, caption=caption)


def _toy_statistics(unit: Unit, units: tuple[Unit, ...]) -> np.ndarray:
    """Return the statistic of every pseudo-experiment of a study that could be fitted."""
    found = [
        np.asarray(arrays["statistic"], dtype=float)
        for toys in of_stage(units, "toys")
        if toys.name.rpartition("-")[0] == unit.name
        and "statistic" in (arrays := read_arrays(toys.folder / "toys.zarr").arrays)
    ]
    together = np.concatenate(found) if found else np.zeros(0)
    return together[np.isfinite(together)]


def training_statistics_section(analysis: Analysis, units: tuple[Unit, ...]) -> Section | None:
    """Return what the finite training samples add to the uncertainty, three estimators; None where none was made.

    Raises:
        IntegrityError: a result is not JSON.
    """
    blocks: list[Block] = []
    for unit in of_stage(units, "training_statistics"):
        body = read_view(unit.folder / "result.json")
        blocks.append(_estimators(analysis, unit, body))
    if not blocks:
        return None
    lead = (
        "Three estimators that answer different questions; they are not to be added. The noise of the ensemble is not "
        "the uncertainty from the finite training sample, which all members share (arXiv:2505.19156)."
    )
    return Section(anchor="training-statistics", title="Training statistics", lead=lead, blocks=tuple(blocks))


def _estimators(analysis: Analysis, unit: Unit, body: JsonView) -> Table:
    rows = []
    for side in ("observed", "expected"):
        statistical = body.number(side, "sigma")
        for name, estimate in body.items(side, "estimates"):
            described = body.at("estimators", name)
            sigma, error = estimate.number("sigma"), estimate.number("error")
            rows.append((
                Cell(described.text("label") or name), Cell(side),
                Cell("–" if sigma is None else f"{sigma:.3g}" + ("" if error is None else f" ± {error:.2g}"), "number"),
                Cell(_number(statistical), "number"), Cell(_number(estimate.number("total_sigma")), "number"),
                Cell(estimate.text("reason") or described.text("sees") or ""),
                Cell(described.text("does_not_see") or ""),
            ))  # fmt: skip
    headers = ("estimator", "data", "σ from the training", "σ of the fit", "together", "what it sees", "what not")
    title = f"Uncertainty of the parameter of interest: {likelihood_title(analysis, unit.name)}"
    return Table(title=title, headers=headers, rows=tuple(rows), stacked=True)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}".replace("-", "−")


def _percent(value: float | None, error: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.4g} %" if error is None else f"{100 * value:.1f} ± {100 * error:.1f} %"
