"""Results of limits, toys, impacts, contours and goodness of fit as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from evercast.cli.tables import columns, guard_line, head, regime_hint, verdict
from evercast.inference.contours import Contour
from evercast.inference.fit import FitResult
from evercast.inference.goodness import GoodnessOfFit
from evercast.inference.impacts import Impact
from evercast.inference.limits import UpperLimit
from evercast.inference.toy_tests import ToyCls, ToySignificance
from evercast.likelihood.model import LikelihoodModel

__all__ = [
    "contour_table",
    "few_toys",
    "goodness_table",
    "impact_table",
    "limit_table",
    "toy_cls_table",
    "toy_significance_lines",
    "toys_table",
]

_TWO_DEVIATIONS = 0.02275
"""Of a standard normal distribution beyond two standard deviations, on one side."""
_FEWEST_BEYOND = 10.0
_BANDS = ("expected -2 sd", "expected -1 sd", "expected", "expected +1 sd", "expected +2 sd")


def _number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def few_toys(n_toys: int, bands: Sequence[float]) -> list[str]:
    """Return why the expected band from pseudo-experiments is not one; empty where it is.

    Args:
        n_toys: of each hypothesis.
        bands: at -2, -1, 0, 1, 2 standard deviations, in the order in which they should rise.
    """
    beyond = _TWO_DEVIATIONS * n_toys
    found = []
    if beyond < _FEWEST_BEYOND:
        found.append(f"{beyond:.2g} of {n_toys} lie beyond two standard deviations")
    if any(high <= low for low, high in pairwise(bands)):
        found.append("quantiles cross or coincide")
    if min(bands) <= 0.0:
        found.append("a quantile is 0")
    return [f"too few pseudo-experiments for the band: {', '.join(found)}"] if found else []


def limit_table(model: LikelihoodModel, limit: UpperLimit, *, problems: Sequence[str] = ()) -> str:
    """Return the upper limits, observed and expected."""
    rows = [(f"{limit.confidence_level:.4g} CL upper limit on {limit.poi}", "")]
    if limit.observed is not None:
        error = "" if limit.error is None else f" +- {limit.error:.2g}"
        rows.append(("observed", f"{limit.observed:.5g}{error}"))
    rows += [(label, f"{value:.5g}") for label, value in zip(_BANDS, limit.expected, strict=True)]
    data = None if limit.observed is not None else f"Asimov data of the model without signal ({limit.asimov}), expected"
    lines = [head(model, limit.status, data=data), columns(rows), f"CLs of {limit.statistic}, {limit.method}"]
    lines += [*limit.remarks, *regime_hint(limit.remarks), *problems]
    return "\n".join([*lines, guard_line(limit.fits[0].guard)])


def toy_cls_table(model: LikelihoodModel, result: ToyCls) -> str:
    """Return CLs from pseudo-experiments."""
    rows = [("CLs", "")]
    if result.cls_obs is not None:
        rows.append(("observed", f"{result.cls_obs:.4g} +- {result.cls_obs_error:.2g}"))
    rows += [(label, f"{value:.4g}") for label, value in zip(_BANDS, result.cls_exp, strict=True)]
    data = None if result.cls_obs is not None else "pseudo-experiments of the model, expected"
    lines = [head(model, result.status, data=data), columns(rows)]
    decisive = result.cls_obs if result.cls_obs is not None else result.cls_exp[2]
    lines.append(verdict(result.poi, result.mu, decisive, observed=result.cls_obs is not None))
    lines.append(f"{result.n_toys} pseudo-experiments of each hypothesis, {result.n_failed} failed, seed {result.seed}")
    return "\n".join([*lines, *result.remarks.values(), *few_toys(result.n_toys, result.cls_exp)])


def toy_significance_lines(text: str, result: ToySignificance) -> str:
    """Return the text of the asymptotic result with the one from pseudo-experiments."""
    relation = ("<", ">") if result.bound else ("=", "=")
    line = (
        f"from {result.n_toys} toys (seed {result.seed}, {result.n_failed} failed): p {relation[0]} {result.p:.4g} "
        f"+- {result.p_error:.2g}, Z {relation[1]} {result.z:.4g}"
    )
    lines = text.splitlines()
    return "\n".join([*lines[:-1], line, *result.remarks, lines[-1]])


def impact_table(model: LikelihoodModel, best: FitResult, impacts: Sequence[Impact], *, poi: str, top: int) -> str:
    """Return the largest impacts with pulls and constraints."""
    rows: list[tuple[str, ...]] = [("parameter", "up", "down", "covariance", "pull", "constraint", "")]
    for entry in impacts[:top]:
        numbers = (entry.up, entry.down, entry.covariance, entry.pull, entry.constraint)
        rows.append((entry.parameter, *(_number(value) for value in numbers), "refit failed" if entry.reason else ""))
    found = best.parameter(poi)
    spread = "" if found.uncertainty is None else f" +- {found.uncertainty:.4g}"
    lines = [head(model, best.status), f"{poi} = {found.value:.5g}{spread}", columns(rows)]
    if len(impacts) > top:
        lines.append(f"and {len(impacts) - top} smaller ones (--top, --json)")
    return "\n".join([*lines, guard_line(best.guard)])


def contour_table(model: LikelihoodModel, contour: Contour) -> str:
    """Return the best fit and the extent of each contour."""
    names = contour.parameters
    rows: list[tuple[str, ...]] = [
        ("contour", *(f"{name} {end}" for name in names for end in ("low", "high")), "t", "parts")
    ]
    for level in contour.levels:
        points = [point for line in level.lines for point in line]
        ends = [f"{pick(p[axis] for p in points):.5g}" if points else "" for axis in (0, 1) for pick in (min, max)]
        rows.append((f"{level.confidence_level:.4g}", *ends, f"{level.t:.4g}", str(len(level.lines))))
    best = ", ".join(f"{name} = {contour.best.parameter(name).value:.5g}" for name in names)
    grid = f"{contour.t.shape[0]} x {contour.t.shape[1]} points, largest t {float(contour.t.max()):.4g}"
    lines = [head(model, contour.best.status), f"best fit {best}; {grid}", columns(rows)]
    lines += [f"failed at {a:.5g}, {b:.5g}: {reason}" for a, b, reason in contour.failed[:5]]
    return "\n".join([*lines, guard_line(contour.best.guard)])


def goodness_table(model: LikelihoodModel, best: FitResult, result: GoodnessOfFit) -> str:
    """Return test statistics and p-values, in all and per channel."""
    rows = [("channel", "test", "statistic", "size", "p (toys)")]
    if result.statistic is not None:
        freedom = f"{result.degrees_of_freedom} dof"
        rows.append(("bins and constraints", "saturated", f"{result.statistic:.5g}", freedom, _number(result.p_toys)))
    for name, entry in result.channels.items():
        rows.append((name, entry.kind, f"{entry.statistic:.5g}", str(entry.size), _number(entry.p)))
    lines = [head(model, best.status), columns(rows)]
    if result.p is not None:
        lines.append(f"p-value from chi2: {result.p:.4g}")
    if result.n_toys:
        lines.append(f"{result.n_toys} pseudo-experiments, {result.n_failed} failed, seed {result.seed}")
    return "\n".join([*lines, *result.remarks, guard_line(best.guard)])


def toys_table(model: LikelihoodModel, body: Mapping[str, object]) -> str:
    """Return a summary of pseudo-experiments."""
    keys = ("value", "statistic", "toys", "failed", "at_bound", "poi_mean", "poi_deviation", "seed")
    rows = [(key, _text(body[key])) for key in keys]
    quantiles = body["quantiles"]
    if isinstance(quantiles, Mapping):
        rows += [(f"quantile {level} of {body['statistic']}", _text(value)) for level, value in quantiles.items()]
    remarks = body["remarks"]
    lines = list(map(str, remarks)) if isinstance(remarks, list | tuple) else []
    return "\n".join([head(model, "ok"), columns(rows), *lines])


def _text(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
