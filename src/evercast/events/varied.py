"""Varied selections beside the nominal one: its normalisation is taken over, and something must have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from evercast.artifacts.event_table import EventTable
from evercast.errors import IntegrityError, InvalidInput
from evercast.events.normalise import Normalised, effective_sample_size, place_in_bins
from evercast.events.selector import SelectedEvents
from evercast.spec.model import Calibration

__all__ = ["NominalFactors", "by_nominal", "check_changed", "check_varied_regions", "nominal_factors"]

_LEAST_EFFECTIVE: Final = 2.0
_SPARSE: Final = 10.0
"""Effective events below which a region may lose all its events to a variation by chance; channels that use it look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NominalFactors:
    """What made expected events of the weights of the nominal selection.

    Args:
        factor: expected events per unit of weight; with a calibration, its mean.
        bin_factors: with a calibration: those of its bins.
    """

    factor: float
    bin_factors: tuple[float, ...] = ()


def nominal_factors(summary: object, *, where: str) -> NominalFactors:
    """Return the factors that the summary of the nominal selection holds.

    Raises:
        IntegrityError: ``selection.summary``, it holds none.
    """
    section = summary.get("normalisation") if isinstance(summary, Mapping) else None
    factor = section.get("factor") if isinstance(section, Mapping) else None
    bins = section.get("bin_factors", []) if isinstance(section, Mapping) else None
    if not isinstance(factor, int | float) or not isinstance(bins, list):
        raise IntegrityError(
            f"the summary of the nominal selection gives the factor {factor!r}; expected a number",
            code="selection.summary",
            where=where,
            hint="select the nominal sample again",
        )
    return NominalFactors(factor=float(factor), bin_factors=tuple(float(value) for value in bins))


def by_nominal(
    selected: SelectedEvents,
    nominal: EventTable,
    factors: NominalFactors,
    *,
    calibration: Calibration | None,
    observable_names: Sequence[str],
) -> Normalised:
    """Return the varied weights times the factors of the nominal selection, so that a change of the yield is seen.

    A calibration belongs to the event, not to where a variation moves it: an event that the nominal selection has keeps
    its factor, found by its identity. One that only the varied selection has gets the factor of the bin it is in, and
    the mean factor outside of all bins.

    Args:
        selected: the varied events with the weights of the file, varied.
        nominal: the events of the nominal selection.
        factors: of the nominal selection.
        calibration: of the sample.
        observable_names: columns of `selected`.
    """
    if calibration is None or not factors.bin_factors:
        return Normalised(kind="nominal", weight=selected.weight * factors.factor, factor=factors.factor)
    varied = selected.observables[:, list(observable_names).index(calibration.observable)].copy()
    _, own, theirs = np.intersect1d(selected.event, nominal.event, assume_unique=True, return_indices=True)
    varied[own] = nominal.columns([calibration.observable])[theirs, 0]
    per_event = _factor_of(varied, factors, edges=np.asarray(calibration.edges, dtype=np.float64))
    return Normalised(
        kind="nominal", weight=selected.weight * per_event, factor=factors.factor, bin_factors=factors.bin_factors
    )


def _factor_of(
    values: Float64[np.ndarray, " events"], factors: NominalFactors, *, edges: Float64[np.ndarray, " edges"]
) -> Float64[np.ndarray, " events"]:
    place = place_in_bins(values, edges)
    inside = (place >= 0) & (place < len(factors.bin_factors))
    of_bin = np.asarray(factors.bin_factors)[np.clip(place, 0, len(factors.bin_factors) - 1)]
    return np.where(inside, of_bin, factors.factor)


def check_changed(varied: EventTable, nominal: EventTable, *, name: str) -> None:
    """Refuse a variation that leaves every event, observable and weight as it was.

    Raises:
        InvalidInput: ``systematic.identical``.
    """
    same = all(
        np.array_equal(getattr(varied, part), getattr(nominal, part))
        for part in ("event", "regions", "weight", "observables")
    )
    if same:
        raise InvalidInput(
            f"the variation {name!r} changes nothing in the {len(nominal)} selected events of sample "
            f"{nominal.sample!r}: their observables, regions and weights are those without it",
            code="systematic.identical",
            hint="look at the collection or the weight it names, or leave the sample's process out of the systematic",
        )


def check_varied_regions(varied: EventTable, nominal: EventTable, *, name: str) -> None:
    """Refuse a region that the sample populates well and its variation does not, or only with weights that cancel.

    Raises:
        InvalidInput: ``systematic.empty``, ``sample.weights``.
    """
    for region in nominal.region_names:
        before, after = nominal.in_region(region).weight, varied.in_region(region).weight
        if effective_sample_size(before) < _SPARSE:
            continue
        total, effective = float(after.sum()), effective_sample_size(after)
        if not len(after):
            raise InvalidInput(
                f"the variation {name!r} leaves no event of sample {nominal.sample!r} in region {region!r}, where it "
                f"has {len(before)} without it",
                code="systematic.empty",
                hint="a variation is of the size of an uncertainty; check factor and units",
            )
        if total <= 0 or effective < _LEAST_EFFECTIVE:
            raise InvalidInput(
                f"with the variation {name!r} sample {nominal.sample!r} has {len(after)} events in region {region!r} "
                f"with a sum of weights of {total:g} and an effective number of {effective:.3g}; expected a positive "
                f"sum and at least {_LEAST_EFFECTIVE:g}",
                code="sample.weights",
                hint="check the varied weight: is it zero, or of another sign?",
            )
