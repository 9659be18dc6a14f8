"""Finds out where a likelihood may be used, from the samples its networks learned from, and writes it in its bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.validity import (
    SUPPORT_FILE,
    VALIDITY_FILE,
    Domain,
    EnsembleDomain,
    FalsePositive,
    ObservableRange,
    Outside,
    ParameterRange,
    Support,
    Training,
    neighbour_distance,
)
from evercast.artifacts.weights import write_tensors
from evercast.likelihood.model import LikelihoodModel, UnbinnedChannelModel
from evercast.publication.bundle_context import BundleContext
from evercast.spec.codec import to_json
from evercast.spec.model import Analysis, Ensemble

__all__ = ["OUTSIDE", "add_validity", "ensemble_domain"]

_FRACTIONS: Final = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
_POINTS: Final = 4096
_CALIBRATION: Final = 8192
_HELD_OUT: Final = 8192
_POINTS_ARE: Final = (
    "simulated training events of the reference, row by row: point x scale + center gives their observables back"
)
_NEIGHBOUR: Final = 5
_RATE: Final = 0.01
"""Of events of the training beyond the threshold; the sample is judged by its fraction, so that this may be large."""
OUTSIDE: Final = Outside(
    action="refuse",
    max_fraction_range=0.01,
    max_fraction_support=0.05,
    rule="An event is outside the range where an observable is below low or above high; it is outside the support "
    "where its distance exceeds the threshold. n events are refused where more than f n + 3 sqrt(f n) of them are "
    "outside, f being max_fraction_range or max_fraction_support; and where a single one lies beyond the range by more "
    "than the distance between the outermost quantiles of an observable. A result says that it extrapolates where one "
    "event is outside.",
)
_RULE_OF_RANGES: Final = (
    "An event is outside the range where an observable is below low or above high. No points of the training are "
    "published, so that its joint density is not tested: combinations of values that never occurred are not found. n "
    "events are refused where more than f n + 3 sqrt(f n) of them are outside the range, f being max_fraction_range, "
    "or beyond the outermost quantiles of one observable, f being max_fraction_support; and where a single one lies "
    "beyond the range by more than the distance between the outermost quantiles of an observable. A result says that "
    "it extrapolates where one event is outside."
)
_FORMULA: Final = (
    "z = (x - center) / scale; d_i = sqrt(sum over observables of (z - point_i)^2); outside where the neighbour-th "
    "smallest d_i exceeds threshold"
)


def add_validity(folder: Path, context: BundleContext) -> Mapping[str, object]:
    """Write ``validity.json``, and with published networks ``support.safetensors``; return what the manifest says.

    Raises:
        IntegrityError: the events of a sample of the run are damaged.
        EnvironmentUnfit: the disk is full or read-only.
    """
    metadata = context.analysis.metadata
    networks = context.manifest.get("disclosure") != "ratios"
    published = context.analysis.publish.neural_likelihood
    given = published is None or published.support == "points"
    ensembles: dict[str, EnsembleDomain] = {}
    points: dict[str, np.ndarray] = {}
    entries = context.manifest.get("ensembles")
    for name in entries if isinstance(entries, Mapping) else ():
        ensembles[name], found = ensemble_domain(
            name, context.analysis, context.outputs("selection"), with_ranges=networks, with_points=networks and given
        )
        if found is not None:
            points[f"{name}.points"] = found
    domain = Domain(
        schema="validity/1.0.0",
        experiment=metadata.experiment,
        sqrt_s_tev=metadata.sqrt_s_tev,
        luminosity_fb=metadata.luminosity_fb,
        parameters=_parameters(context.model),
        ensembles=ensembles,
        outside=OUTSIDE if given else replace(OUTSIDE, rule=_RULE_OF_RANGES),
    )
    if points:
        write_tensors(folder / SUPPORT_FILE, points, {"format": "support/1.0.0"})
    atomic_write_json(folder / VALIDITY_FILE, to_json(domain))
    return {"file": VALIDITY_FILE, "support": SUPPORT_FILE if points else None}


def _parameters(model: LikelihoodModel) -> dict[str, ParameterRange]:
    followed = {
        anchor.parameter
        for channel in model.channels
        if isinstance(channel, UnbinnedChannelModel)
        for anchor in channel.anchors
    }
    return {
        one.name: ParameterRange(
            low=_finite(one.bounds[0]),
            high=_finite(one.bounds[1]),
            learned=(-1.0, 1.0) if one.name in followed else None,
        )
        for one in model.parameters
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def ensemble_domain(
    name: str, analysis: Analysis, selections: Mapping[str, Path], *, with_ranges: bool, with_points: bool
) -> tuple[EnsembleDomain, np.ndarray | None]:
    """Return the domain of an ensemble, and its standardised points, simulated events, where they are given away.

    Args:
        name: of the ensemble.
        analysis: the document.
        selections: sample -> folder with its selected events.
        with_ranges: ranges and quantiles of the observables.
        with_points: the test on the joint density.

    Raises:
        IntegrityError: the events of a sample are damaged.
    """
    spec = analysis.ensembles[name]
    samples = dict.fromkeys([*spec.reference, *(analysis.processes[one].sample for one in spec.processes)])
    tables = {sample: read_event_table(selections[sample] / "events.zarr").in_region(spec.region) for sample in samples}
    whole = sum(spec.reference.values())
    training = {
        sample: Training(
            events=len(table),
            effective_events=_effective(table.weight),
            reference=spec.reference.get(sample, 0.0) / whole,
        )
        for sample, table in tables.items()
    }
    observables: tuple[ObservableRange, ...] = ()
    support, points = None, None
    if with_ranges:
        events, weight = _mixture(spec, tables)
        observables = _ranges(analysis, spec, events, weight)
        if with_points:
            support, points = _support(name, spec, events, weight)
    region = analysis.selection.regions[spec.region]
    domain = EnsembleDomain(
        region=spec.region, cut=region.cut, training=training, observables=observables, support=support
    )
    return domain, points


def _effective(weight: Float64[np.ndarray, " events"]) -> float:
    squares = float(np.sum(weight**2))
    return 0.0 if squares == 0.0 else float(np.sum(weight)) ** 2 / squares


def _mixture(
    spec: Ensemble, tables: Mapping[str, EventTable]
) -> tuple[Float64[np.ndarray, "events observables"], Float64[np.ndarray, " events"]]:
    """Return the events of the reference and their weights, positive and with sum 1."""
    whole = sum(spec.reference.values())
    parts, weights = [], []
    for sample, share in spec.reference.items():
        size = np.abs(tables[sample].weight)
        parts.append(tables[sample].columns(spec.observables))
        weights.append(share / whole * size / size.sum())
    return np.concatenate(parts), np.concatenate(weights)


def _ranges(
    analysis: Analysis, spec: Ensemble, events: Float[np.ndarray, "events observables"],
    weight: Float[np.ndarray, " events"],
) -> tuple[ObservableRange, ...]:  # fmt: skip
    declared = analysis.selection.observables
    found = []
    for column, name in enumerate(spec.observables):
        order = np.argsort(events[:, column], kind="stable")
        below = np.cumsum(weight[order])
        at = np.minimum(np.searchsorted(below, np.array(_FRACTIONS) * below[-1]), len(order) - 1)
        values = events[order[at], column]
        found.append(
            ObservableRange(
                name=name,
                unit=declared[name].unit,
                low=float(events[:, column].min()),
                high=float(events[:, column].max()),
                quantiles=tuple(zip(_FRACTIONS, values.tolist(), strict=True)),
            )
        )
    return tuple(found)


def _support(
    name: str, spec: Ensemble, events: Float[np.ndarray, "events observables"], weight: Float[np.ndarray, " events"]
) -> tuple[Support, np.ndarray]:
    """Return the test on the joint density and its points.

    The events are split at random, whatever their weights: what is left of a draw by weight would be of another
    composition than the reference. Points are drawn from the first half with the weights, each event once; the others
    keep their weights in the threshold and in the rate that is quoted for it.
    """
    random = np.random.default_rng(spec.seed)
    of_points, calibration, held_out = _split(random.permutation(len(events)))
    keys = -np.log1p(-random.random(len(of_points))) / np.maximum(weight[of_points], 1e-300)
    drawn = events[of_points[np.argsort(keys, kind="stable")][:_POINTS]]
    low, center, high = np.quantile(drawn, [0.1587, 0.5, 0.8413], axis=0)
    scale = (high - low) / 2.0
    scale = np.where(scale > 0.0, scale, np.maximum(drawn.std(axis=0), 1e-12))
    scale = np.where(scale > 1e-12, scale, 1.0)
    points = ((drawn - center) / scale).astype(np.float32)
    neighbour = min(_NEIGHBOUR, len(points))
    distances = [
        neighbour_distance(points, (events[part] - center) / scale, neighbour) for part in (calibration, held_out)
    ]
    threshold = _weighted_quantile(distances[0], weight[calibration], 1.0 - _RATE)
    support = Support(
        method="nearest-neighbour",
        file=SUPPORT_FILE,
        tensor=f"{name}.points",
        points=len(points),
        neighbour=neighbour,
        center=tuple(center.tolist()),
        scale=tuple(scale.tolist()),
        threshold=max(threshold, 1e-12),
        nominal_rate=_RATE,
        false_positive=_false_positive(distances[1] > threshold, weight[held_out]),
        formula=_FORMULA,
        points_are=_POINTS_ARE,
    )
    return support, points


def _split(order: Int[np.ndarray, " events"]) -> tuple[Int[np.ndarray, " n"], ...]:
    """Return half of the events, a quarter for the threshold, a quarter for its rate; very few are used as they are."""
    half = max(1, len(order) // 2)
    quarter = (len(order) - half) // 2
    if not quarter:
        return order[:half], order[half:] if len(order) > half else order, order[:0]
    return order[:half], order[half : half + quarter][:_CALIBRATION], order[half + quarter :][:_HELD_OUT]


def _weighted_quantile(values: Float64[np.ndarray, " n"], weight: Float64[np.ndarray, " n"], fraction: float) -> float:
    """Return the smallest of the values that is not exceeded by this fraction of the weight."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weight[order])
    at = min(int(np.searchsorted(below, fraction * below[-1])), len(order) - 1)
    return float(values[order[at]])


def _false_positive(outside: Bool[np.ndarray, " n"], weight: Float64[np.ndarray, " n"]) -> FalsePositive:
    """Return the weighted fraction of held-out events outside; None where they have no weight."""
    whole, count = float(weight.sum()), int(outside.sum())
    if whole <= 0.0:
        return FalsePositive(events=len(outside), outside=count, rate=None, uncertainty=None)
    rate = float(weight[outside].sum()) / whole
    effective = _effective(weight)
    spread = float(np.sum(weight**2 * (outside - rate) ** 2)) / whole**2
    uncertainty = math.sqrt(max(spread, 1.0 / effective**2))
    return FalsePositive(events=len(outside), outside=count, rate=rate, uncertainty=uncertainty)
