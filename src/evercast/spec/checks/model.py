"""Parameters and processes."""

from __future__ import annotations

from evercast.spec.checks.context import Context, check_reference
from evercast.spec.checks.formulas import Scope, check_expression
from evercast.spec.expressions import COEFFICIENT_FUNCTIONS
from evercast.spec.model import Parameter
from evercast.spec.report import Report

__all__ = ["check_model", "check_simulated"]


def check_model(context: Context, report: Report) -> None:
    """Check parameters and processes."""
    for name, parameter in context.analysis.parameters.items():
        _check_parameter(report, name, parameter)
    _check_poi(context, report)
    _check_processes(context, report)


def _check_parameter(report: Report, name: str, parameter: Parameter) -> None:
    if parameter.bounds is None:
        return
    low, high = parameter.bounds
    path = ("parameters", name)
    if low >= high:
        report.add((*path, "bounds"), "spec.bounds", f"the least value {low:g} is not below the largest, {high:g}")
    elif not low <= parameter.initial <= high:
        message = f"the initial value {parameter.initial:g} is outside the bounds"
        report.add((*path, "initial"), "spec.bounds", message, expected=f"{low:g} to {high:g}")


def _check_poi(context: Context, report: Report) -> None:
    pois = [name for name, parameter in context.analysis.parameters.items() if parameter.poi]
    if len(pois) > 1:
        for name in pois[1:]:
            message = f"a second parameter of interest; the first is '{pois[0]}'"
            report.add(("parameters", name, "poi"), "spec.poi", message, expected="exactly one")
    elif not pois and context.is_whole("parameters"):
        message = "no parameter is the parameter of interest"
        report.add(("parameters",), "spec.poi", message, expected="poi: true in exactly one of them", key=True)


def _check_processes(context: Context, report: Report) -> None:
    scope = Scope(
        names=context.declared("parameters"),
        functions=COEFFICIENT_FUNCTIONS,
        remedy="declare it under parameters",
    )
    for name, process in context.analysis.processes.items():
        path = ("processes", name)
        if check_reference(report, (*path, "sample"), process.sample, "sample", context.declared("samples")):
            check_simulated(context, report, (*path, "sample"), process.sample)
        check_expression(report, (*path, "coefficient"), process.coefficient, scope, coefficient=True)


def check_simulated(context: Context, report: Report, path: tuple[str | int, ...], name: str) -> None:
    """Add a problem where a declared sample holds data."""
    sample = context.analysis.samples.get(name)
    if sample is not None and sample.role == "data":
        message = f"the sample '{name}' holds data; simulation is needed here"
        report.add(path, "spec.role", message, found="role: data", expected="role: simulation")
