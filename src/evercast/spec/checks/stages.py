"""Extra stages: placeholders and inputs resolve, outputs stay in their folder, and no stage waits for itself."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Mapping

from evercast.spec.checks.context import Context, check_distinct, check_reference
from evercast.spec.model import CommandStage
from evercast.spec.report import Path, Report, did_you_mean, shown_name

__all__ = ["STAGE_OUTPUT", "check_stage_output", "check_stages", "stage_of"]

STAGE_OUTPUT = re.compile(r"(?P<stage>[A-Za-z]\w*)(\[(?P<point>[^\]]+)\])?\.(?P<output>[A-Za-z]\w*)", re.ASCII)
_PLACEHOLDER = re.compile(r"\{([A-Za-z]+)\.([A-Za-z]\w*)\}", re.ASCII)
_GROUPS = ("inputs", "outputs", "matrix")


def stage_of(reference: str) -> str | None:
    """Return the stage in ``STAGE.OUTPUT`` or ``STAGE[axis=value,...].OUTPUT``; None where it is not of that form."""
    match = STAGE_OUTPUT.fullmatch(reference)
    return match["stage"] if match else None


def check_stages(context: Context, report: Report) -> None:
    """Check all extra stages and the order among them."""
    for name, stage in context.analysis.stages.items():
        path: Path = ("stages", name)
        _check_inputs(context, report, path, stage)
        groups: dict[str, Mapping[str, object]] = {
            "inputs": stage.inputs,
            "outputs": stage.outputs,
            "matrix": stage.matrix,
        }
        _check_placeholders(report, (*path, "run"), stage.run, groups)
        for axis, values in stage.matrix.items():
            check_distinct(report, (*path, "matrix", axis), values, f"values of '{axis}'")
        if stage.reduce is not None:
            _check_reduce(report, (*path, "reduce"), stage)
    _check_cycles(context, report)


def _check_inputs(context: Context, report: Report, path: Path, stage: CommandStage) -> None:
    for name, text in stage.inputs.items():
        place = (*path, "inputs", name)
        if text.startswith("source:"):
            check_reference(report, place, text.removeprefix("source:"), "source", context.declared("sources"))
        elif text.startswith("stage:"):
            check_stage_output(context, report, place, text.removeprefix("stage:"))


def _check_reduce(report: Report, path: Path, stage: CommandStage) -> None:
    reduce = stage.reduce
    if reduce is None:
        return
    if not stage.matrix:
        report.add(path, "spec.reduce", "'reduce' needs a matrix, this stage has none", key=True)
    groups: dict[str, Mapping[str, object]] = {
        "inputs": stage.inputs,
        "outputs": reduce.outputs,
        "all": stage.outputs,
    }
    _check_placeholders(report, (*path, "run"), reduce.run, groups)
    for name in reduce.outputs:
        if name in stage.outputs:
            message = f"the output '{name}' of 'reduce' has the name of an output of the jobs"
            report.add((*path, "outputs", name), "spec.name-clash", message, hint="rename one of them", key=True)


def _check_placeholders(report: Report, path: Path, run: str, groups: Mapping[str, Mapping[str, object]]) -> None:
    """Check that each ``{group.name}`` of a command is known; other braces are left to the program."""
    for match in _PLACEHOLDER.finditer(run):
        group, name = match.groups()
        if group in groups:
            if name not in groups[group]:
                known = (
                    ", ".join(f"{{{group}.{key}}}" for key in groups[group])
                    or f"none, for the stage declares no {group}"
                )
                message = f"unknown placeholder {match.group()}"
                report.add(path, "spec.placeholder", message, expected=known, hint=did_you_mean(name, groups[group]))
        elif group in {*_GROUPS, "all"} or did_you_mean(group, groups):
            listed = ", ".join(f"{{{key}.NAME}}" for key in groups)
            report.add(path, "spec.placeholder", f"unknown placeholder {match.group()}", expected=listed)


def check_stage_output(context: Context, report: Report, path: Path, reference: str) -> None:
    """Check a reference to an output of an extra stage."""
    match = STAGE_OUTPUT.fullmatch(reference)
    if match is None:
        message = f"{shown_name(reference)} is not a reference to an output"
        report.add(path, "spec.pattern", message, expected="STAGE.OUTPUT or STAGE[axis=value,...].OUTPUT")
        return
    name, output, point = match["stage"], match["output"], match["point"]
    if not check_reference(report, path, name, "stage", context.declared("stages")):
        return
    stage = context.analysis.stages.get(name)
    if stage is None:
        return
    reduced = stage.reduce.outputs if stage.reduce is not None else {}
    if not check_reference(report, path, output, "output", [*stage.outputs, *reduced], owner=f"the stage '{name}'"):
        return
    _check_point(report, path, stage, point, is_reduced=output in reduced)


def _check_point(report: Report, path: Path, stage: CommandStage, point: str | None, *, is_reduced: bool) -> None:
    """Check that the point of the matrix is given where the stage has one, and is one of its points."""
    axes = {} if is_reduced else stage.matrix
    given = dict(part.partition("=")[::2] for part in point.split(",")) if point else {}
    expected = ",".join(f"{axis}={value}" for axis, values in axes.items() for value in values[:1])
    if set(given) != set(axes):
        wanted = f"for example [{expected}]" if expected else "no point, for there is no matrix"
        message = "the output does not name one point of the matrix of its stage"
        report.add(path, "spec.matrix-point", message, found=point or "none", expected=wanted)
        return
    for axis, value in given.items():
        known = [str(option) for option in axes[axis]]
        check_reference(report, path, value, "value", known, owner=f"the axis '{axis}'")


def _check_cycles(context: Context, report: Report) -> None:
    """Add one problem for each cycle among the stages."""
    stages = context.analysis.stages
    needs: dict[str, set[str]] = {}
    for name, stage in stages.items():
        references = (text.removeprefix("stage:") for text in stage.inputs.values() if text.startswith("stage:"))
        needs[name] = {needed for needed in map(stage_of, references) if needed in stages and needed is not None}
    while True:
        try:
            graphlib.TopologicalSorter(needs).prepare()
        except graphlib.CycleError as err:
            cycle: list[str] = err.args[1][::-1]
            message = f"the stages wait for each other: {' -> '.join(cycle)}"
            report.add(("stages", cycle[0]), "spec.cycle", message, key=True)
            needs[cycle[0]].discard(cycle[1])
        else:
            return
