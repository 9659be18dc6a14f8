"""The selection of one sample: expressions parsed once, chunks of events in, selected events and a cut flow out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import awkward as ak
import numpy as np
from jaxtyping import Bool, Float64, UInt64

from evercast.errors import InvalidInput
from evercast.events.candidates import build_candidates
from evercast.events.evaluate import Formula, Scope, evaluate_condition, evaluate_number
from evercast.events.missing import build_missing_momentum
from evercast.events.objects import build_objects
from evercast.events.variation import Transform, Variation, apply_transforms, varied_weight
from evercast.spec.expressions import names as names_of
from evercast.spec.expressions import parse
from evercast.spec.model import Objects, Selection

__all__ = ["CutFlow", "SelectedEvents", "Selector", "Step", "check_not_empty"]


@dataclass(slots=True)
class Step:
    """Events that are left after a step.

    Args:
        name: of the step.
        events: number.
        sum_of_weights: before normalisation.
    """

    name: str
    events: int = 0
    sum_of_weights: float = 0.0

    def add(self, weight: Float64[np.ndarray, " events"]) -> None:
        """Count the events with these weights."""
        self.events += len(weight)
        self.sum_of_weights += float(weight.sum())


@dataclass(slots=True)
class CutFlow:
    """The steps of a selection in order; the first one holds all events."""

    steps: list[Step] = field(default_factory=list)

    def table(self) -> str:
        """Return the steps as text, one a line."""
        width = max((len(step.name) for step in self.steps), default=0)
        return "\n".join(f"  {step.name:<{width}} {step.events:>9} {step.sum_of_weights:>14.6g}" for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedEvents:
    """Events of a chunk that pass the preselection and at least one region."""

    observables: Float64[np.ndarray, "events observables"]
    weight: Float64[np.ndarray, " events"]
    event: UInt64[np.ndarray, " events"]
    regions: Bool[np.ndarray, "events regions"]


class Selector:
    """A selection ready for chunks; it counts what it lets pass in `cut_flow`.

    Args:
        selection: of the document.
        weight: column or expression of the event weight; None counts each event as 1.
        smear: whether resolutions are applied.
        variation: of a varied selection. Objects are changed before they are cut; weights after the preselection,
            where the observables are known, which is a step of its own in the cut flow.

    Raises:
        ExpressionError: an expression cannot be parsed.
    """

    def __init__(
        self, selection: Selection, *, weight: str | None, smear: bool, variation: Variation | None = None
    ) -> None:
        self._selection = selection
        self._smear = smear
        self._variation = variation
        self._weight = None if weight is None else _formula("weight", weight)
        self._steps = {name: _formula(f"preselection {name!r}", text) for name, text in selection.preselection.items()}
        self._observables = {
            name: _formula(f"observable {name!r}", one.expression) for name, one in selection.observables.items()
        }
        self._regions = {name: _formula(f"region {name!r}", one.cut) for name, one in selection.regions.items()}
        regions = [Step(f"region {name}") for name in selection.regions]
        reweighted = [Step(f"weights of {variation.name}")] if variation and variation.weight else []
        steps = [Step(name) for name in selection.preselection]
        self.cut_flow = CutFlow([Step("all events"), *steps, *reweighted, *regions])

    @property
    def makes_jets(self) -> bool:
        """Whether jets are made of particles, which needs memory for each of them."""
        return any(objects.cluster is not None for objects in self._selection.objects.values())

    def inputs(self) -> tuple[str, ...]:
        """Return the columns and collections that must be read from the file."""
        selection = self._selection
        formulas = [*self._steps.values(), *self._observables.values(), *self._regions.values()]
        used = {name for formula in formulas for name in names_of(formula.tree)}
        used |= {name for objects in selection.objects.values() for name in _sources(objects)}
        missing = selection.missing_momentum or {}
        used |= {name for one in missing.values() for name in (*one.plus, *one.minus)}
        used |= {candidates.pairs_of for candidates in selection.candidates.values()}
        if self._variation is not None:
            used |= {*self._variation.transforms, *self._variation.weight_inputs()}
        made = {f"{name}{end}" for name, pairs in selection.candidates.items() for end in pairs.suffixes}
        wanted = used - made - missing.keys() - selection.objects.keys() - selection.observables.keys()
        wanted |= set() if self._weight is None else names_of(self._weight.tree)
        return tuple(sorted(wanted))

    def weights(self, scope: Scope) -> Float64[np.ndarray, " events"]:
        """Return the weights of the events as they stand in the file.

        Raises:
            InvalidInput: ``sample.not-finite``.
        """
        return np.ones(len(scope)) if self._weight is None else evaluate_number(self._weight, scope)

    def select(self, scope: Scope) -> SelectedEvents:
        """Return the events of a chunk that pass, and count them.

        Raises:
            ExpressionError: an expression does not fit the events.
            InvalidInput: ``sample.not-finite``, ``sample.collection``, ``sample.resolution``, ``systematic.transform``.
        """
        weight = self.weights(scope)
        steps = iter(self.cut_flow.steps)
        next(steps).add(weight)
        scope = self._with_collections(scope)
        for formula in self._steps.values():
            keep = evaluate_condition(formula, scope)
            scope, weight = scope.where(keep), weight[keep]
            next(steps).add(weight)
        columns = self._evaluated(scope)
        scope = scope.with_values(columns)
        if self._variation is not None and self._variation.weight is not None:
            weight = varied_weight(self._variation, scope, weight)
            next(steps).add(weight)
        regions = np.zeros((len(scope), len(self._regions)), dtype=np.bool_)
        for position, formula in enumerate(self._regions.values()):
            regions[:, position] = evaluate_condition(formula, scope)
            next(steps).add(weight[regions[:, position]])
        chosen = np.flatnonzero(regions.any(axis=1))
        observables = np.zeros((len(scope), len(columns)))
        for position, column in enumerate(columns.values()):
            observables[:, position] = ak.to_numpy(column)
        return SelectedEvents(
            observables=observables[chosen], weight=weight[chosen], event=scope.event[chosen], regions=regions[chosen]
        )

    def _with_collections(self, scope: Scope) -> Scope:
        transforms = {} if self._variation is None else dict(self._variation.transforms)
        for name in transforms.keys() - self._selection.objects.keys():
            scope = scope.with_values({name: _varied_input(name, transforms[name], scope)})
        for name, objects in self._selection.objects.items():
            made = build_objects(
                name, objects, scope, seed=self._selection.seed, smear=self._smear, transforms=transforms.get(name, ())
            )
            scope = scope.with_values({name: made})
        for name, missing in (self._selection.missing_momentum or {}).items():
            made = build_missing_momentum(name, missing, scope, seed=self._selection.seed, smear=self._smear)
            scope = scope.with_values({name: made})
        for name, candidates in self._selection.candidates.items():
            scope = scope.with_values(build_candidates(name, candidates, scope))
        return scope

    def _evaluated(self, scope: Scope) -> dict[str, ak.Array]:
        """Return the observables; one may use those that stand before it."""
        columns: dict[str, ak.Array] = {}
        for name, formula in self._observables.items():
            columns[name] = ak.Array(evaluate_number(formula, scope.with_values(columns)))
        return columns


def _sources(objects: Objects) -> tuple[str, ...]:
    """Return the collections that an entry of the objects is made with."""
    flavour = () if objects.flavour is None else (objects.flavour.collection,)
    return (objects.collection, *flavour, *(step.collection for step in objects.remove_near))


def _varied_input(name: str, transforms: Sequence[Transform], scope: Scope) -> ak.Array:
    items = scope.values[name]
    if not items.fields or items.ndim != 2:
        raise InvalidInput(
            f"the variation changes {transforms[0].what}, but {name!r} is no collection of objects",
            code="systematic.transform",
            where=transforms[0].variation,
            hint="group columns to a collection with 'collections', or vary an entry of selection.objects",
        )
    return apply_transforms(transforms, items, scope)


def _formula(what: str, text: str) -> Formula:
    return Formula(what=what, text=text, tree=parse(text))


def check_not_empty(selected: Sequence[SelectedEvents], cut_flow: CutFlow, sample: str) -> None:
    """Refuse a selection that no event passes.

    Raises:
        InvalidInput: ``selection.empty``, with the cut flow.
    """
    if not any(len(part.weight) for part in selected):
        raise InvalidInput(
            f"no event of sample {sample!r} passes the selection; events and weights left after each step:\n"
            f"{cut_flow.table()}",
            code="selection.empty",
            hint="check the units and columns of the input, and the cut where the number drops to 0",
        )
