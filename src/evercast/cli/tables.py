"""Results of the statistics commands as text."""

from __future__ import annotations

from collections.abc import Sequence

from evercast.inference.asymptotics import ClsResult, Significance
from evercast.inference.fit import FitResult
from evercast.inference.guard import Guard
from evercast.inference.minima import LocalMinimum
from evercast.inference.profile import Interval, Scan
from evercast.inference.regime import IN_DOUBT
from evercast.likelihood.model import LikelihoodModel

__all__ = [
    "at_bound_of",
    "cls_status",
    "cls_table",
    "columns",
    "fit_table",
    "guard_line",
    "head",
    "regime_hint",
    "scan_table",
    "significance_table",
    "verdict",
]


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns, the first to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        lines.append("  ".join([first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]))
    return "\n".join(line.rstrip() for line in lines)


def head(model: LikelihoodModel, status: str, *, data: str | None = None) -> str:
    """Return the first line: which likelihood, on which data (None: those of the model), with which status."""
    what = data or ("observed data" if model.asimov is None else f"Asimov data ({model.asimov})")
    n_channels = len(model.channels)
    noun = "channel" if n_channels == 1 else "channels"
    return f"{model.name}: {n_channels} {noun}, {len(model.parameters)} parameters; {what}; status {status}"


def guard_line(guard: Guard, *, bounds: bool = True) -> str:
    """Return the last line: what the guard found, with the parameters at a bound unless they stand elsewhere."""
    text = f"guard: passed, {guard.distance:.1e} from the minimum in -2 ln L, {guard.n_evaluations} evaluations"
    if guard.second_optimiser:
        gain = "" if guard.second_gain is None else f" (lower by {guard.second_gain:.1e})"
        text += f", second optimiser {guard.second_optimiser}{gain}"
    text += f"; at a kink: {', '.join(guard.at_kink)}" if guard.at_kink else ""
    return text + (f"; at bound: {', '.join(guard.at_bound)}" if guard.at_bound and bounds else "")


def _note(at_bound: bool, fixed: bool) -> str:  # noqa: FBT001
    return "fixed" if fixed else "at bound" if at_bound else ""


def fit_table(model: LikelihoodModel, result: FitResult, *, poi: str | None) -> str:
    """Return parameters with uncertainties, the parameter of interest first."""
    entries = sorted(result.parameters, key=lambda entry: entry.name != poi)
    rows = [("parameter", "value", "uncertainty", "")]
    for entry in entries:
        spread = "" if entry.uncertainty is None else f"{entry.uncertainty:.5g}"
        rows.append((entry.name, f"{entry.value:.5g}", spread, _note(entry.at_bound, entry.fixed)))
    lines = [
        head(model, result.status),
        columns(rows),
        f"-2 ln L = {result.twice_nll:.6f}",
        guard_line(result.guard),
    ]
    return "\n".join(lines)


def scan_table(
    model: LikelihoodModel, best: FitResult, scan: Scan, interval: Interval, minima: Sequence[LocalMinimum] = ()
) -> str:
    """Return t at each value and the interval."""
    rows = [(scan.poi, "t"), *((f"{value:.6g}", f"{t:.4f}") for value, t in zip(scan.values, scan.t, strict=True))]
    parts = " or ".join(
        f"[{segment.low:.5g}{' (bound)' if segment.low_at_bound else ''}, "
        f"{segment.high:.5g}{' (bound)' if segment.high_at_bound else ''}]"
        for segment in interval.segments
    )
    lines = [head(model, best.status), columns(rows)]
    lines.append(
        f"best fit {scan.poi} = {best.parameter(scan.poi).value:.5g}; {interval.confidence_level:.2%} interval {parts}"
    )
    lines += [f"a further minimum lies at {entry.value:.5g}, t = {entry.t:.4g}" for entry in minima[1:]]
    lines += [f"failed at {value:.5g}: {reason}" for value, reason in scan.failed]
    return "\n".join([*lines, guard_line(best.guard)])


def cls_table(model: LikelihoodModel, result: ClsResult) -> str:
    """Return CLs, observed and for the quantiles of the background."""
    rows = [("CLs", "")]
    if result.cls_obs is not None:
        rows.append(("observed", f"{result.cls_obs:.6g}"))
    labels = ("expected -2 sd", "expected -1 sd", "expected", "expected +1 sd", "expected +2 sd")
    rows += [(label, f"{value:.6g}") for label, value in zip(labels, result.cls_exp, strict=True)]
    decisive = result.cls_obs if result.cls_obs is not None else result.cls_exp[2]
    data = (
        None if result.cls_obs is not None else f"Asimov data of the model without signal ({result.asimov}), expected"
    )
    lines = [head(model, cls_status(result), data=data), columns(rows)]
    lines.append(verdict(result.poi, result.mu, decisive, observed=result.cls_obs is not None))
    if result.poi_hat is not None:
        lines.append(f"best fit {result.poi} = {result.poi_hat:.5g}")
    for what, names in at_bound_of(result).items():
        lines.append(f"at bound in the fit {what}: {', '.join(names)}")
    lines += [*result.remarks, *regime_hint(result.remarks)]
    return "\n".join([*lines, guard_line(result.fits[0].guard, bounds=False)])


def regime_hint(remarks: Sequence[str]) -> list[str]:
    """Return how to do without asymptotic formulas, where a remark says that they may not hold."""
    doubted = any(remark.endswith(IN_DOUBT) for remark in remarks)
    return ["pseudo-experiments do without them: --regime auto"] if doubted else []


def verdict(poi: str, mu: float, cls: float, *, observed: bool) -> str:
    """Return what CLs says of a value: what the data exclude, or what would be expected."""
    verb, negation = "is" if observed else "would", "" if cls < 0.05 else "not "
    return f"{poi} = {mu:.6g} {verb} {negation}{'' if observed else 'be expected to be '}excluded at 95 % CL"


def cls_status(result: ClsResult) -> str:
    """Return the status of the fits to the observed data; those to Asimov data meet the bound at 0 by construction."""
    if result.cls_obs is None:
        return "ok"
    return "at-bound" if any(entry.status == "at-bound" for entry in result.fits[:3]) else "ok"


def at_bound_of(result: ClsResult) -> dict[str, list[str]]:
    """Return which fit -> its parameters at a bound; fits without any are left out."""
    asimov = ("to Asimov data", f"to Asimov data at {result.poi} = {result.mu:.6g}")
    data = ("to the data", f"to the data at {result.poi} = {result.mu:.6g}", f"to the data at {result.poi} = 0")
    names = asimov if result.cls_obs is None else (*data, *asimov)
    return {
        name: list(entry.guard.at_bound) for name, entry in zip(names, result.fits, strict=True) if entry.guard.at_bound
    }


def significance_table(model: LikelihoodModel, result: Significance, *, poi: str) -> str:
    """Return the significance against the absence of the signal."""
    rows = [("best fit " + poi, f"{result.poi_hat:.5g}"), ("q0", f"{result.q0:.5g}")]
    rows += [("significance Z", f"{result.z:.4g}"), ("p-value", f"{result.p:.4g}")]
    lines = [head(model, result.status), columns(rows), *result.remarks, *regime_hint(result.remarks)]
    return "\n".join([*lines, guard_line(result.fits[0].guard)])
