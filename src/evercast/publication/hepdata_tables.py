"""The tables of a HEPData submission, as plain columns: what was fitted, scanned, cut, counted and checked.

A column holds finite numbers or texts; what was not computed is a dash, never NaN. `evercast.publication.hepdata`
writes them with hepdata_lib.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from evercast.publication.report.view import JsonView

__all__ = ["Column", "TableContent", "cut_flow_tables", "diagnostics_table", "interval_table", "parameter_tables",
           "scan_tables", "template_tables"]  # fmt: skip

Cell = float | int | str
MISSING: Final = "-"
"""What HEPData shows where a cell is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One variable of a table.

    Args:
        name: header.
        values: (rows,) cells, or (low, high) of bins.
        independent: what the others are a function of.
        unit: of the values.
        errors: label -> (rows,) a symmetric error, or (minus, plus) with the sign of minus; None where there is none.
        qualifiers: name -> value, e.g. the process.
    """

    name: str
    values: Sequence[Cell | tuple[float, float]]
    independent: bool = False
    unit: str = ""
    errors: Mapping[str, Sequence[float | tuple[float, float] | None]] = field(default_factory=dict)
    qualifiers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableContent:
    """A table: its name, what it shows, and its columns.

    Args:
        drawn: it is worth a picture: the first column across, the others up.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    drawn: bool = False


def _cell(value: float | None) -> Cell:
    return value if value is not None and math.isfinite(value) else MISSING


def scan_tables(results: JsonView) -> Iterator[TableContent]:
    """Yield the profile likelihood scan of every likelihood, on the data and on Asimov data."""
    for name, result in results.items("results"):
        poi = result.text("poi") or "parameter"
        sides = {kind: (result.numbers(kind, "scan", "values"), result.numbers(kind, "scan", "t"))
                 for kind in ("observed", "expected")}  # fmt: skip
        known = {kind: pair for kind, pair in sides.items() if len(pair[0]) and len(pair[0]) == len(pair[1])}
        if not known:
            continue
        values = sorted({float(value) for points, _ in known.values() for value in points})
        columns = [Column(name=poi, values=values, independent=True)]
        for kind, (points, t) in known.items():
            at = {float(value): float(one) for value, one in zip(points, t, strict=True)}
            cells = [_cell(at.get(value)) for value in values]
            columns.append(Column(name="-2 ln(profile likelihood ratio)", values=cells, qualifiers={"Data": kind}))
        text = f"Profile likelihood scan of {poi} of the likelihood '{name}'; expected: on Asimov data."
        yield TableContent(name=f"Profile scan {name}", description=text, columns=tuple(columns), drawn=True)


def interval_table(results: JsonView) -> TableContent:
    """Return best values, intervals, significances and limits of all likelihoods."""
    names = [name for name, _ in results.items("results")]
    level = next((one for _, body in results.items("results") for kind in ("observed", "expected")
                  if (one := body.number(kind, "interval", "confidence_level"))), 0.6827)  # fmt: skip
    columns = [Column(name="Likelihood", values=names, independent=True)]
    for kind in ("observed", "expected"):
        best, errors, z, limit = [], [], [], []
        for name in names:
            body = results.at("results", name)
            value = body.number(kind, "fit", "parameters", body.text("poi") or "", "value")
            low, high = body.number(kind, "interval", "low"), body.number(kind, "interval", "high")
            best.append(_cell(value))
            errors.append(None if value is None or low is None or high is None else (low - value, high - value))
            z.append(_cell(body.number(kind, "significance", "z")))
            limit.append(_cell(body.number(kind, "limit", "observed") if kind == "observed" else _median(body)))
        which = {"Data": kind}
        label = f"{100 * level:.4g}% profile likelihood interval"
        columns += [
            Column(name="Best fit", values=best, errors={label: errors}, qualifiers=which),
            Column(name="Significance", values=z, unit="standard deviations", qualifiers=which),
        ]
        if any(cell != MISSING for cell in limit):
            columns.append(Column(name="Upper limit (CLs)", values=limit, qualifiers=which))
    return TableContent(
        name="Intervals",
        description="Best fit of the parameter of interest, its interval, significance against 0 and upper limits.",
        columns=tuple(columns),
    )


def _median(result: JsonView) -> float | None:
    """Return the median expected limit."""
    for kind in ("expected", "observed"):
        band = result.numbers(kind, "limit", "expected")
        if len(band) == 5:
            return float(band[2])
    return None


def parameter_tables(results: JsonView) -> Iterator[TableContent]:
    """Yield the fitted values of all parameters of every likelihood."""
    for name, result in results.items("results"):
        for kind in ("observed", "expected"):
            fitted = list(result.items(kind, "fit", "parameters"))
            if not fitted:
                continue
            values = [_cell(body.number("value")) for _, body in fitted]
            errors = [body.number("uncertainty") for _, body in fitted]
            yield TableContent(
                name=f"Parameters {name} {kind}",
                description=f"Best values of all parameters of the likelihood '{name}', {kind}; Hessian uncertainties.",
                columns=(
                    Column(name="Parameter", values=[one for one, _ in fitted], independent=True),
                    Column(name="Value", values=values, errors={"Hessian": errors}),
                ),
            )


def cut_flow_tables(summaries: Mapping[str, JsonView]) -> Iterator[TableContent]:
    """Yield the cut flows of the samples, those with the same steps in one table.

    Args:
        summaries: sample -> content of its ``summary.json``.
    """
    groups: dict[tuple[str, ...], dict[str, JsonView]] = {}
    for sample, summary in summaries.items():
        steps = tuple(entry.text("step") or "" for entry in summary.entries("cut_flow"))
        if steps:
            groups.setdefault(steps, {})[sample] = summary
    for number, (steps, members) in enumerate(groups.items()):
        columns = [Column(name="Step", values=list(steps), independent=True)]
        for sample, summary in members.items():
            key = "events" if summary.text("role") == "data" else "sum_of_weights_expected"
            cells = [_cell(entry.whole(key) or entry.number(key)) for entry in summary.entries("cut_flow")]
            head = "Events" if key == "events" else "Expected events"
            columns.append(Column(name=head, values=cells, qualifiers={"Sample": sample}))
        name = "Cut flow" if number == 0 else f"Cut flow {number + 1}"
        text = (
            "Events that pass each step of the selection; simulated ones as expected in the data. Regions may overlap."
        )
        yield TableContent(name=name, description=text, columns=tuple(columns))


def template_tables(
    workspace: Mapping[str, Any], likelihood: str, bins: Mapping[str, tuple[str, str, Sequence[float]]]
) -> Iterator[TableContent]:
    """Yield the histogram of every channel of a workspace: observed counts and expected events of each process.

    Args:
        workspace: pyhf workspace.
        likelihood: name, for titles.
        bins: channel -> observable, its unit, edges; where they are not given bins are numbered.
    """
    counts = {entry["name"]: entry["data"] for entry in workspace["observations"]}
    for channel in workspace["channels"]:
        name, data = channel["name"], counts[channel["name"]]
        observable, unit, edges = bins.get(name, ("Bin", "", ()))
        numbered = len(edges) != len(data) + 1
        across: Sequence[Any] = list(range(1, len(data) + 1)) if numbered else list(pairwise(edges))
        columns = [Column(name=observable, unit=unit, values=across, independent=True)]
        columns.append(Column(name="Events", values=list(data), qualifiers={"Data": "observed"}))
        for sample in channel["samples"]:
            error = next((one["data"] for one in sample["modifiers"] if one["type"] == "staterror"), None)
            errors = {} if error is None else {"simulation statistics": list(error)}
            columns.append(
                Column(
                    name="Expected events",
                    values=list(sample["data"]),
                    errors=errors,
                    qualifiers={"Process": sample["name"]},
                )
            )
        yield TableContent(
            name=f"Observable {likelihood} {name}"[:64],
            description=f"Channel {name} of the likelihood '{likelihood}': counts, and templates at coefficient 1.",
            columns=tuple(columns),
        )


def diagnostics_table(diagnostics: JsonView) -> TableContent:
    """Return the checks that the run made of itself."""
    checks = list(diagnostics.entries("checks"))
    reasons = {identity: body.text() or "" for identity, body in diagnostics.items("publication", "overridden")}
    ids = [entry.text("id") or "" for entry in checks]
    return TableContent(
        name="Diagnostics",
        description="Checks of networks, likelihood and fits. A red one is published for the reason given.",
        columns=(
            Column(name="Check", values=ids, independent=True),
            Column(name="Status", values=[entry.text("status") or "" for entry in checks]),
            Column(name="Value", values=[_cell(entry.number("value")) for entry in checks]),
            Column(name="Amber above", values=[_cell(entry.number("threshold_amber")) for entry in checks]),
            Column(name="Red above", values=[_cell(entry.number("threshold_red")) for entry in checks]),
            Column(name="Reason for publication", values=[reasons.get(identity, MISSING) for identity in ids]),
        ),
    )
