"""What the README of a bundle says of its binned projection."""

from __future__ import annotations

from collections.abc import Mapping

from evercast.publication.report.view import JsonView

__all__ = ["projection_section"]


def projection_section(said: Mapping[str, object]) -> str:
    """Return the section of the README: what the projection is, how to use it, and how much weaker it is.

    Args:
        said: what `evercast.publication.projection_files.add_projection` puts in the manifest.
    """
    view = JsonView(dict(said))
    poi = view.text("observable", "parameter") or "the parameter of interest"
    tied = view.text("parametrisation")
    lines = [
        "## For readers of pyhf workspaces: projection.json",
        "",
        f"The unbinned channels as histograms of the learned observable {_observable(view, poi)},",
        "with the observed counts.",
        "",
        *(_tied_text(tied, poi) if tied else [
            "    pyhf inspect projection.json",
            "    pyhf fit projection.json --value",
            "    evercast fit projection.json",
        ]),
        "",
        *_table(view, poi),
        "",
    ]  # fmt: skip
    notes = [entry.text() or "" for entry in view.entries("approximations")]
    lines += ["Left out or approximated:", "", *(f"- {note}" for note in notes), ""] if notes else []
    difference = view.number("pyhf", "largest_difference_twice_nll")
    if difference is not None:
        lines.append(
            f"pyhf {view.text('pyhf', 'version')} and evercast give the same -2 ln L of this file to {difference:.1g}."
        )
    lines.append("The templates carry the statistical uncertainty of the simulation; the unbinned likelihood does not.")
    return "\n".join(lines) + "\n"


def _observable(view: JsonView, poi: str) -> str:
    high, low = (_n(view.number("observable", end)) for end in ("high", "low"))
    return f"ln lambda(x | {poi} = {high}) / lambda(x | {poi} = {low})"


def _tied_text(file: str, poi: str) -> list[str]:
    return [
        "Coefficients here are no products of parameters, which is all that HistFactory has. In projection.json each",
        f"such process has a free factor c_PROCESS; {file} says which formula of the",
        "parameters it is. With the formulas the projection is exact; without them pyhf fits a wider model that has no",
        "parameter of interest: `pyhf fit` gives the factors, `pyhf cls` does not run. What respects the formulas:",
        "",
        "    python -I read_projection.py               # pyhf, numpy, scipy",
        f"    evercast fit projection.json --parametrisation {file}",
        "",
        f"One histogram orders events by how they depend on {poi} near the reference point. Far from it, where the",
        "dependence is another, it knows less than the events do: compare the intervals below.",
    ]


def _table(view: JsonView, poi: str) -> list[str]:
    level = view.number("comparison", "confidence_level")
    lines = [
        f"| {poi} | unbinned | projection | interval, projection / unbinned | shift in uncertainties |",
        "|---|---|---|---|---|",
    ]
    for kind in ("expected", "observed"):
        side = view.at("comparison", kind)
        if side.value is None:
            continue
        cells = [_cell(side.at(name)) for name in ("unbinned", "projection")]
        ratio, shift = side.number("interval_length_ratio"), side.number("shift_in_uncertainties")
        lines.append(f"| {kind} | {cells[0]} | {cells[1]} | {_n(ratio)} | {_n(shift)} |")
    text = (
        "" if level is None else f"Intervals are profile likelihood intervals at {100 * level:.4g} % confidence level."
    )
    return [*lines, "", text]


def _cell(numbers: JsonView) -> str:
    low, high = _n(numbers.number("low")), _n(numbers.number("high"))
    return f"{_n(numbers.number('value'))} [{low}, {high}], Z = {_n(numbers.number('z'))}"


def _n(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
