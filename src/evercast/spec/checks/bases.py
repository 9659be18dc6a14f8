"""Morphing bases: as many features as points, and a matrix that can be inverted."""

from __future__ import annotations

from collections.abc import Mapping

from evercast.spec.checks.context import Context, check_reference
from evercast.spec.checks.formulas import Scope, check_expression
from evercast.spec.evaluation import value_of
from evercast.spec.expressions import COEFFICIENT_FUNCTIONS, Node, names
from evercast.spec.matrices import LARGEST_CONDITION, dependence
from evercast.spec.model import MorphingBasis
from evercast.spec.report import Path, Report

__all__ = ["basis_of", "check_bases"]


def check_bases(context: Context, report: Report) -> None:
    """Check every basis, and that none gives a coefficient that stands elsewhere."""
    first: dict[str, str] = {}
    for name, basis in context.analysis.morphing_bases.items():
        path: Path = ("morphing_bases", name)
        for process in basis.points:
            _check_process(context, report, (*path, "points", process), process)
            other = first.setdefault(process, name)
            if other != name:
                message = f"the process '{process}' is a point of the basis '{other}' already"
                report.add((*path, "points", process), "spec.repeated", message, hint="keep one of them", key=True)
        trees = _features(context, report, path, basis)
        if len(basis.features) != len(basis.points):
            message = f"{len(basis.features)} features need as many points"
            found = f"{len(basis.points)} points"
            report.add(
                (*path, "features"), "spec.basis", message, found=found, expected=f"{len(basis.features)} points"
            )
        elif trees is not None and _check_points(context, report, path, basis, trees):
            _check_matrix(report, path, basis, trees)


def basis_of(context: Context, process: str) -> str | None:
    """Return the basis that gives the coefficient of a process; None where the process has its own."""
    bases = context.analysis.morphing_bases.items()
    return next((name for name, basis in bases if process in basis.points), None)


def _check_process(context: Context, report: Report, path: Path, process: str) -> None:
    if not check_reference(report, path, process, "process", context.declared("processes")):
        return
    declared = context.analysis.processes.get(process)
    if declared is not None and declared.coefficient.strip() != "1":
        message = f"the basis gives the coefficient of '{process}', which has one of its own"
        report.add(
            ("processes", process, "coefficient"), "spec.needless-key", message,
            hint="remove it, or take the process out of the basis",
        )  # fmt: skip


def _features(context: Context, report: Report, path: Path, basis: MorphingBasis) -> list[Node] | None:
    """Return the trees of the features; None where one has a problem."""
    scope = Scope(
        names=context.declared("parameters"), functions=COEFFICIENT_FUNCTIONS, remedy="declare it under parameters"
    )
    trees = []
    for place, text in enumerate(basis.features):
        tree = check_expression(report, (*path, "features", place), text, scope, coefficient=True)
        if tree is not None and names(tree) <= set(scope.names):
            trees.append(tree)
    return trees if len(trees) == len(basis.features) else None


def _check_points(context: Context, report: Report, path: Path, basis: MorphingBasis, trees: list[Node]) -> bool:
    """Return whether every feature has a value at every point."""
    used = frozenset[str]().union(*(names(tree) for tree in trees))
    good = True
    for process, values in basis.points.items():
        place = (*path, "points", process)
        for parameter in values:
            if not check_reference(report, (*place, parameter), parameter, "parameter", context.declared("parameters")):
                good = False
            elif parameter not in used:
                message = f"no feature depends on '{parameter}'"
                report.add((*place, parameter), "spec.needless-key", message, hint="remove it", key=True)
        lacking = sorted(used - values.keys())
        if lacking:
            message = f"the point has no value of {', '.join(lacking)}, which a feature uses"
            report.add(place, "spec.basis", message, expected=f"a value of each of {', '.join(sorted(used))}", key=True)
            good = False
            continue
        for text, tree in zip(basis.features, trees, strict=True):
            if value_of(tree, values) is None:
                at = ", ".join(f"{key} = {value:g}" for key, value in values.items())
                report.add(place, "spec.basis", f"the feature '{text}' is undefined at {at}", key=True)
                good = False
    return good


def _check_matrix(report: Report, path: Path, basis: MorphingBasis, trees: list[Node]) -> None:
    """Refuse a matrix that cannot be inverted, and name the features and points that prevent it."""
    found = dependence([_row(trees, values) for values in basis.points.values()])
    if found.condition < LARGEST_CONDITION:
        return
    points = list(basis.points)
    features = ", ".join(f"'{basis.features[place]}'" for place in found.columns)
    rows = ", ".join(f"'{points[place]}'" for place in found.rows)
    number = "infinite" if found.condition == float("inf") else f"{found.condition:.3g}"
    report.add(
        (*path, "points"), "spec.basis",
        f"the matrix of points and features cannot be inverted: its condition number is {number}; dependent features: "
        f"{features}; dependent points: {rows}",
        expected=f"a condition number below {LARGEST_CONDITION:.0e}",
        hint="choose points at which these features differ, or leave one of the features out",
    )  # fmt: skip


def _row(trees: list[Node], values: Mapping[str, float]) -> list[float]:
    return [value_of(tree, values) or 0.0 for tree in trees]
