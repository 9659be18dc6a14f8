"""The selection: every expression uses only what exists at its step."""

from __future__ import annotations

from evercast.spec.checks.context import Context, check_distinct, check_reference
from evercast.spec.checks.formulas import Anything, Scope, check_expression
from evercast.spec.checks.names import event_collections, input_collections
from evercast.spec.expressions import ITEM_PROPERTIES
from evercast.spec.report import Report

__all__ = ["ELEMENTWISE", "check_selection"]

ELEMENTWISE = frozenset(
    {"abs", "sqrt", "log", "exp", "sin", "cos", "tan", "cosh", "sinh", "tanh", "floor", "atan2", "where", "min", "max"}
)
"""Functions that take and give one value for each item."""
_REMEDY = "declare a column of the input under selection.columns"


def check_selection(context: Context, report: Report) -> None:
    """Check objects, candidates, cuts, observables and regions in the order in which they are computed."""
    check_distinct(report, ("selection", "columns"), context.analysis.selection.columns, "columns")
    _check_objects(context, report)
    collections = event_collections(context)
    _check_candidates(context, report)
    _check_cuts(context, report, collections)
    _check_weights(context, report)


def _check_objects(context: Context, report: Report) -> None:
    """Check that each collection is there when it is needed, and the expressions of its items."""
    selection = context.analysis.selection
    known = [*sorted(input_collections(context)), *selection.columns]
    scope = Scope(
        names=ITEM_PROPERTIES, functions=ELEMENTWISE, remedy=f"an item has {', '.join(sorted(ITEM_PROPERTIES))}"
    )
    for name in context.declared("selection", "objects"):
        objects = selection.objects.get(name)
        if objects is not None:
            path = ("selection", "objects", name)
            check_reference(report, (*path, "collection"), objects.collection, "collection", known)
            if objects.cut is not None:
                check_expression(report, (*path, "cut"), objects.cut, scope, wanted="condition")
            if objects.pt_resolution is not None:
                place = (*path, "pt_resolution")
                check_expression(report, place, objects.pt_resolution, scope, wanted="number")
        known.append(name)


def _check_candidates(context: Context, report: Report) -> None:
    objects = [*context.declared("selection", "objects"), *sorted(input_collections(context))]
    for name, candidates in context.analysis.selection.candidates.items():
        path = ("selection", "candidates", name, "pairs_of")
        check_reference(report, path, candidates.pairs_of, "collection", objects)


def _check_cuts(context: Context, report: Report, collections: frozenset[str]) -> None:
    """Check cuts, observables and regions; observables see those above them."""
    selection = context.analysis.selection
    observables = context.declared("selection", "observables")
    columns = set(selection.columns)
    before = Scope(names=columns, collections=collections, later=observables, remedy=_REMEDY)
    for name, cut in selection.preselection.items():
        check_expression(report, ("selection", "preselection", name), cut, before, wanted="condition")
    for place, name in enumerate(observables):
        if name in selection.observables:
            text = selection.observables[name].expression
            names = columns | set(observables[:place])
            scope = Scope(names=names, collections=collections, later=observables[place:], remedy=_REMEDY)
            path = ("selection", "observables", name, "expression")
            check_expression(report, path, text, scope, wanted="number")
    after = Scope(
        names=columns | set(observables), collections=collections, remedy=_REMEDY, numbers=frozenset(observables)
    )
    for name, region in selection.regions.items():
        check_expression(report, ("selection", "regions", name, "cut"), region.cut, after, wanted="condition")


def _check_weights(context: Context, report: Report) -> None:
    """Check weights; they use collections of the input, and columns of that sample that are checked when it is read."""
    for name, sample in context.analysis.samples.items():
        if sample.weight is not None:
            scope = Scope(names=Anything(), collections=input_collections(context))
            check_expression(report, ("samples", name, "weight"), sample.weight, scope, wanted="number")
