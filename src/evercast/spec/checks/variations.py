"""Variations of events: objects that exist, properties that can change, and expressions that mean something."""

from __future__ import annotations

from collections.abc import Mapping

from evercast.spec.checks.context import Context, check_reference
from evercast.spec.checks.formulas import Anything, Scope, check_expression
from evercast.spec.checks.names import event_collections, input_collections
from evercast.spec.checks.selection import ELEMENTWISE
from evercast.spec.expressions import ITEM_PROPERTIES, ExpressionError, Node, parse, to_text
from evercast.spec.model import KinematicSystematic, WeightSystematic
from evercast.spec.nodes import names
from evercast.spec.report import Path, Report, shown, shown_name

__all__ = ["check_events"]

_CHANGEABLE = ITEM_PROPERTIES - {"pdg", "charge"}
_DIRECTIONS = ("up", "down")
_ONE = "1"


def check_events(
    context: Context, report: Report, path: Path, systematic: KinematicSystematic | WeightSystematic
) -> None:
    """Check what a systematic does to events, up and down."""
    if isinstance(systematic, WeightSystematic):
        _check_weights(context, report, path, systematic)
        return
    for direction, missing in (("up", "down"), ("down", "up")):
        change: Mapping[str, str | float] = getattr(systematic, direction)
        for key, value in change.items():
            _check_change(context, report, (*path, direction, key), key, value)
            if key not in getattr(systematic, missing) and context.is_intact(*path, missing):
                message = f"'{direction}' changes {key}, '{missing}' does not"
                hint = f"write {key}: 1 under '{missing}' where nothing changes that way"
                report.add((*path, direction, key), "spec.missing-key", message, hint=hint, key=True)
    if context.is_intact(*path):
        _check_difference(report, path, systematic)


def _check_difference(report: Report, path: Path, systematic: KinematicSystematic) -> None:
    up, down = _normal(systematic.up), _normal(systematic.down)
    if up == down:
        message = "'up' and 'down' change the objects alike; the systematic has no effect"
        found = ", ".join(f"{key}: {value}" for key, value in systematic.up.items())
        report.add((*path, "up"), "spec.no-effect", message, found=found)
        return
    for direction, change in (("up", up), ("down", down)):
        if all(value == _ONE for value in change.values()):
            message = f"'{direction}' changes nothing: every factor is 1"
            hint = "give both ways a change; for one alternative there is kind: two_point"
            report.add((*path, direction), "spec.no-effect", message, hint=hint)


def _check_change(context: Context, report: Report, path: Path, key: str, value: str | float) -> None:
    """Check one entry ``collection.property: factor or expression``."""
    collection, _, name = key.partition(".")
    known = (*context.declared("selection", "objects"), *sorted(input_collections(context)))
    check_reference(report, path, collection, "collection", known)
    check_reference(report, path, name, "property", sorted(_CHANGEABLE), owner="an item that can change")
    if isinstance(value, str):
        scope = Scope(
            names=ITEM_PROPERTIES, functions=ELEMENTWISE, numbers=ITEM_PROPERTIES,
            remedy=f"an item has {', '.join(sorted(ITEM_PROPERTIES))}",
        )  # fmt: skip
        check_expression(report, path, value, scope, wanted="number")


def _check_weights(context: Context, report: Report, path: Path, systematic: WeightSystematic) -> None:
    """Check both weights; columns are those of the files, which are looked for when these are read."""
    scope = Scope(names=Anything(), collections=event_collections(context))
    trees = {}
    for direction in _DIRECTIONS:
        text: str = getattr(systematic, direction)
        tree = check_expression(report, (*path, direction), text, scope, wanted="number")
        if tree is not None:
            _check_spelling(context, report, (*path, direction), tree)
        trees[direction] = None if tree is None else to_text(tree)
        if trees[direction] == _ONE and systematic.meaning == "factor":
            hint = "give both ways a weight; for one alternative there is kind: two_point"
            report.add(
                (*path, direction), "spec.no-effect", f"'{direction}' changes nothing: the factor is 1", hint=hint
            )
    if trees["up"] is not None and trees["up"] == trees["down"]:
        message = "'up' and 'down' are the same weight; the systematic has no effect"
        report.add((*path, "up"), "spec.no-effect", message, found=shown(systematic.up))


def _check_spelling(context: Context, report: Report, path: Path, tree: Node) -> None:
    """Report a name that is a declared one but for underscores and capitals; other columns may be in the files."""
    selection = context.analysis.selection
    known = {*selection.columns, *selection.observables, *event_collections(context)}
    plain = {_letters(name): name for name in known}
    for name in sorted(names(tree) - known):
        if _letters(name) in plain:
            message = f"unknown name {shown_name(name)}"
            hint = f"did you mean '{plain[_letters(name)]}'? A column {shown_name(name)} belongs to selection.columns"
            report.add(path, "expression.unknown-name", message, hint=hint)


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def _normal(change: Mapping[str, str | float]) -> Mapping[str, str]:
    """Return each change as text that does not depend on spaces and on how a number is written."""
    return {key: _text(value) for key, value in change.items()}


def _text(value: str | float) -> str:
    if not isinstance(value, str):
        return f"{value:.17g}"
    try:
        return f"={to_text(parse(value))}"
    except ExpressionError:
        return f"={value}"  # reported with the expression
