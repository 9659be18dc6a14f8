"""Networks trained anew against the archived ones: the mean of the ensemble, event by event, against its own noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from evercast.artifacts.event_table import read_event_table
from evercast.artifacts.weights import EnsembleWeights, read_weights
from evercast.networks.numpy_evaluate import numpy_outputs
from evercast.plan import Unit
from evercast.plan.recipes import TrainingRecipe
from evercast.reinterpretation.sides import Side

__all__ = ["Retrained", "blocks_by_series", "compare_series", "series_of"]

_EVENTS: Final = 4000
"""Events of a sample that networks are compared on, evenly over the sample: the mean over them is known to 2 %."""

_Outputs = Float64[np.ndarray, "members folds events outputs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """One series of networks (of a process, a variation or a replica) trained again.

    Args:
        networks: number of archived networks, members times folds.
        members: of the ensemble.
        events: on which they were compared.
        rms: root mean square of the difference of the ensemble means of the log ratio.
        noise: spread of the archived members over the root of their number, root mean square over the events; of a
            single member, that of its folds; None for a single network.
    """

    name: str
    networks: int
    members: int
    events: int
    rms: float
    noise: float | None

    @property
    def ratio(self) -> float | None:
        """Difference in units of the noise; None where the noise is not known."""
        if self.noise is None:
            return None
        return self.rms / self.noise if self.noise > 0.0 else (0.0 if self.rms == 0.0 else np.inf)


def series_of(recipe: TrainingRecipe) -> str:
    """Return the name of the series that a block of networks belongs to; its blocks differ in their members alone."""
    parts = [recipe.name, recipe.process]
    if recipe.variation is not None:
        parts.append(f"{recipe.variation.parameter} {recipe.variation.direction}")
    if recipe.points:
        parts.append("polynomial")
    if recipe.replica is not None:
        parts.append(f"replica {recipe.replica}")
    return ", ".join(parts)


def compare_series(name: str, pairs: tuple[tuple[Unit, Unit], ...], *, old: Side, new: Side) -> Retrained | None:
    """Return how far two trainings of a series lie apart; None where their networks have not one form.

    Args:
        name: from `series_of`.
        pairs: archived and new unit of each block.
        old: the archived side, whose events both are evaluated on.
        new: the other side.

    Raises:
        IntegrityError: weights or events of a unit are damaged.
    """
    before = [read_weights(old.folder(unit) / "weights.safetensors") for unit, _ in pairs]
    after = [read_weights(new.folder(unit) / "weights.safetensors") for _, unit in pairs]
    observables = before[0].architecture.observables
    if any(part.architecture != before[0].architecture for part in (*before, *after)):
        return None
    recipe = pairs[0][0].recipe
    events = np.concatenate(list(_events(pairs[0][0], recipe, old))) if isinstance(recipe, TrainingRecipe) else None
    if events is None or events.shape[1] != len(observables) or not len(events):
        return None
    first, second = _outputs(before, events), _outputs(after, events)
    difference = second.mean(axis=(0, 1)) - first.mean(axis=(0, 1))
    return Retrained(
        name=name, networks=first.shape[0] * first.shape[1], members=first.shape[0], events=len(events),
        rms=float(np.sqrt(np.mean(difference**2))), noise=_noise(first),
    )  # fmt: skip


def _noise(outputs: _Outputs) -> float | None:
    members, folds = outputs.shape[:2]
    parts = outputs.mean(axis=1) if members > 1 else outputs[0]
    count = members if members > 1 else folds
    if count < 2:
        return None
    return float(np.sqrt(np.mean(np.var(parts, axis=0, ddof=1)) / count))


def _events(unit: Unit, recipe: TrainingRecipe, side: Side) -> Iterator[Float64[np.ndarray, "events observables"]]:
    """Yield the events that a block learned from, at most `_EVENTS` of each sample."""
    units = side.plan.by_id()
    for name, reference in unit.inputs.items():
        source = units.get(reference)
        if source is None or source.stage != "selection" or not (name == "varied" or name.startswith("sample_")):
            continue
        table = read_event_table(side.folder(source) / "events.zarr").in_region(recipe.ensemble.region)
        yield table.columns(recipe.ensemble.observables)[:: max(1, -(-len(table) // _EVENTS))]


def _outputs(blocks: list[EnsembleWeights], events: Float64[np.ndarray, "events observables"]) -> _Outputs:
    return np.stack(
        [
            [numpy_outputs(block.architecture, block.weights.at(row, fold), events) for fold in range(block.folds)]
            for block in blocks
            for row in range(len(block.members))
        ]
    )


def blocks_by_series(pairs: Iterable[tuple[Unit, Unit]]) -> dict[str, tuple[tuple[Unit, Unit], ...]]:
    """Return series -> its blocks, as pairs of archived and new unit, in the order of the plan."""
    found: dict[str, list[tuple[Unit, Unit]]] = {}
    for old, new in pairs:
        if isinstance(old.recipe, TrainingRecipe):
            found.setdefault(series_of(old.recipe), []).append((old, new))
    return {name: tuple(blocks) for name, blocks in found.items()}
