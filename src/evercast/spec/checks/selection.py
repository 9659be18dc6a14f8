"""The selection: every expression uses only what exists at its step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evercast.spec.checks.context import Context, check_distinct, check_reference
from evercast.spec.checks.formulas import Anything, Scope, check_expression
from evercast.spec.checks.names import event_collections, input_collections
from evercast.spec.expressions import ITEM_PROPERTIES
from evercast.spec.model import Clustering, Objects, Overlap
from evercast.spec.report import Path, Report

__all__ = ["ELEMENTWISE", "check_selection"]

ELEMENTWISE = frozenset(
    {"abs", "sqrt", "log", "exp", "sin", "cos", "tan", "cosh", "sinh", "tanh", "floor", "atan2", "where", "min", "max"}
)
"""Functions that take and give one value for each item."""
_GIVEN = {"heavy_flavour": frozenset({"flavour"})}
_REMEDY = "declare a column of the input under selection.columns"


def check_selection(context: Context, report: Report) -> None:
    """Check objects, candidates, cuts, observables and regions in the order in which they are computed."""
    check_distinct(report, ("selection", "columns"), context.analysis.selection.columns, "columns")
    _check_objects(context, report)
    _check_missing(context, report)
    collections = event_collections(context)
    _check_candidates(context, report)
    _check_cuts(context, report, collections)
    _check_weights(context, report)


def _check_objects(context: Context, report: Report) -> None:
    """Check that each collection is there when it is needed, and the expressions of its items."""
    selection = context.analysis.selection
    known = [*sorted(input_collections(context)), *selection.columns]
    properties: dict[str, frozenset[str]] = {}
    for name in context.declared("selection", "objects"):
        objects = selection.objects.get(name)
        if objects is not None:
            path = ("selection", "objects", name)
            check_reference(report, (*path, "collection"), objects.collection, "collection", known)
            properties[name] = _check_items(report, path, objects, properties, known)
        known.append(name)


def _check_items(
    report: Report, path: Path, objects: Objects, properties: Mapping[str, frozenset[str]], known: Sequence[str]
) -> frozenset[str]:
    """Check one entry of the objects; return the properties that its items are known to have."""
    there = properties.get(objects.collection, ITEM_PROPERTIES | _GIVEN.get(objects.collection, frozenset()))
    if objects.cluster is not None:
        there = _check_cluster(report, (*path, "cluster"), objects.cluster, there)
    if objects.flavour is not None:
        there |= {"flavour"}
        _check_flavour(report, (*path, "flavour"), objects, known)
    for key in ("pt_resolution", "efficiency"):
        text = getattr(objects, key)
        if text is not None:
            check_expression(report, (*path, key), text, _items(there), wanted="number")
    for tag, text in (objects.tags or {}).items():
        check_expression(report, (*path, "tags", tag), text, _items(there), wanted="number")
        _check_new(report, (*path, "tags", tag), tag, there)
        there |= {tag}
    for place, step in enumerate(objects.remove_near):
        _check_overlap(report, (*path, "remove_near", place), step, there, known)
    if objects.cut is not None:
        check_expression(report, (*path, "cut"), objects.cut, _items(there), wanted="condition")
    return there


def _check_cluster(report: Report, path: Path, cluster: Clustering, there: frozenset[str]) -> frozenset[str]:
    """Check how jets are made of items that have the properties `there`; return the properties of the jets."""
    for count, condition in cluster.counts.items():
        check_expression(report, (*path, "counts", count), condition, _items(there), wanted="condition")
        _check_new(report, (*path, "counts", count), count, ITEM_PROPERTIES | {"flavour"})
    return (ITEM_PROPERTIES - {"pdg", "charge"}) | cluster.counts.keys()


def _check_flavour(report: Report, path: Path, objects: Objects, known: Sequence[str]) -> None:
    if objects.flavour is None:
        return
    check_reference(report, (*path, "collection"), objects.flavour.collection, "collection", known)
    if objects.flavour.method == "ghost" and objects.cluster is None:
        message = "ghosts are clustered with the particles of jets; this entry makes no jets"
        report.add((*path, "method"), "spec.ghost", message, hint="use delta_r, or declare cluster in this entry")


def _check_overlap(report: Report, path: Path, step: Overlap, there: frozenset[str], known: Sequence[str]) -> None:
    check_reference(report, (*path, "collection"), step.collection, "collection", known)
    check_expression(report, (*path, "delta_r"), step.delta_r, _items(there), wanted="number")
    if step.when is not None:
        check_expression(report, (*path, "when"), step.when, _items(there), wanted="condition")


def _items(properties: frozenset[str]) -> Scope:
    remedy = f"an item has {', '.join(sorted(properties))}"
    return Scope(names=properties, functions=ELEMENTWISE, remedy=remedy)


def _check_new(report: Report, path: Path, name: str, properties: frozenset[str]) -> None:
    if name in properties:
        report.add(path, "spec.name-clash", f"an item already has {name}", hint="rename it", key=True)


def _check_missing(context: Context, report: Report) -> None:
    """Check the collections and resolutions of missing momenta."""
    known = [*sorted(input_collections(context)), *context.declared("selection", "objects")]
    scope = Scope(names=frozenset({"pt", "sum_pt"}), functions=ELEMENTWISE, remedy="it may use pt and sum_pt")
    for name, missing in (context.analysis.selection.missing_momentum or {}).items():
        path = ("selection", "missing_momentum", name)
        for key in ("plus", "minus"):
            for place, collection in enumerate(getattr(missing, key)):
                check_reference(report, (*path, key, place), collection, "collection", known)
        if not (missing.plus or missing.minus):
            report.add(path, "spec.no-collections", "neither plus nor minus names a collection")
        if missing.resolution is not None:
            check_expression(report, (*path, "resolution"), missing.resolution, scope, wanted="number")


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
