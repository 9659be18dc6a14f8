"""Estimates of time, memory and disk. They order and size jobs; they never enter a result.

The rates are of one core of a current server and were set from runs of the analyses in ``specs/``; they are good to a
factor of about three, which the limits that are asked of a scheduler allow for.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Final

from evercast.plan.model import UnitResources
from evercast.spec.model import Analysis, Ensemble, EventFile, UnbinnedChannel

__all__ = [
    "evaluation_resources",
    "event_count",
    "generation_resources",
    "joint_resources",
    "light_resources",
    "network_seconds",
    "selection_resources",
    "toys_resources",
    "training_resources",
    "weight_count",
]

_UNKNOWN_EVENTS: Final = 100_000
_BYTES_PER_EVENT: Final = 200
_GENERATED_PER_SECOND: Final = 1_500.0
_WHOLE_PER_SECOND: Final = 100.0
_SELECTED_PER_SECOND: Final = 20_000.0
_FLOPS: Final = 5e10
_FLOPS_PER_WEIGHT: Final = 6
"""Forward and backward pass of a dense layer: two and four operations for each weight and event."""
_SELECTED: Final = 0.3
"""Fraction of the events of a sample that pass a selection; the plan is made before anybody knows it."""
_TOY_SECONDS: Final = {"neyman": 0.1, "coverage": 0.2, "injection": 0.1, "limit": 0.1, "goodness_of_fit": 0.1}
"""To throw and fit a pseudo-experiment of a binned likelihood; the interval of ``coverage`` needs more fits."""
_UNBINNED_TOY: Final = 4.0
"""The same with an unbinned channel takes so many times as long."""
_SELECTION_SECONDS: Final = 0.2
"""To select no events: read the head of a file, write and check a table."""
_NETWORK_SECONDS: Final = 0.03
"""To train a network on no events: its start, its checkpoint and its history."""
_NETWORK_EVALUATION_SECONDS: Final = 0.002
"""To evaluate a network on no events of one sample."""
_SELECTION_MB: Final = 0.1
_NETWORK_MB: Final = 0.004
_SAMPLE_MB: Final = 0.05
"""On the disk, of a selection, a network and an evaluated sample without events: whole blocks for small files."""
_LEAST_MB: Final = 0.02
_START_SECONDS: Final = 3.0
_START_JAX_SECONDS: Final = 6.0
_JAX_MB: Final = 700
_SAFETY: Final = 4.0


def event_count(analysis: Analysis, sample: str, *, folder: Path) -> int:
    """Return about how many events the files of a sample hold, before any selection."""
    return sum(_events_in(analysis, file, folder=folder) for file in analysis.samples[sample].files)


def _events_in(analysis: Analysis, file: EventFile, *, folder: Path) -> int:
    if file.events is not None:
        return file.events
    if file.generator is not None:
        return analysis.generators[file.generator].events
    if file.source is not None:
        return max(1, analysis.sources[file.source].size_bytes // _BYTES_PER_EVENT)
    if file.path is not None and (folder / file.path).is_file():
        return max(1, (folder / file.path).stat().st_size // _BYTES_PER_EVENT)
    return _UNKNOWN_EVENTS


def weight_count(ensemble: Ensemble) -> int:
    """Return the number of weights and biases of one network of the ensemble."""
    width, depth, inputs = ensemble.model.width, ensemble.model.depth, len(ensemble.observables)
    return (inputs + 1) * width + (depth - 1) * (width + 1) * width + width + 1


def network_seconds(ensemble: Ensemble, *, events: int) -> float:
    """Return the expected device time to train one network on `events` events before their selection, s."""
    training = ensemble.training
    selected = _SELECTED * events
    used = selected if training.max_events is None else min(selected, 2 * training.max_events)
    kept = used * (1 - 1 / ensemble.folds) * (1 - training.validation_fraction)
    return training.epochs * kept * _FLOPS_PER_WEIGHT * weight_count(ensemble) / _FLOPS


def _limits(
    work: float, *, start: float = 0.0, memory_mb: float, disk_mb: float, cores: int = 1, gpu: int = 0,
    least_min: int = 10,
) -> UnitResources:  # fmt: skip
    seconds = start + work
    return UnitResources(
        cores=cores,
        memory_mb=ceil(memory_mb),
        disk_mb=round(max(disk_mb, _LEAST_MB), 2),
        runtime_min=max(least_min, ceil(_SAFETY * seconds / 60)),
        seconds=round(seconds, 2),
        start_seconds=start,
        gpu=gpu,
    )


def joint_resources(units: Sequence[UnitResources]) -> UnitResources:
    """Return what a job needs that runs some units one after the other; it starts once."""
    start = max(unit.start_seconds for unit in units)
    seconds = start + sum(unit.seconds - unit.start_seconds for unit in units)
    return UnitResources(
        cores=max(unit.cores for unit in units),
        memory_mb=max(unit.memory_mb for unit in units),
        disk_mb=ceil(sum(unit.disk_mb for unit in units)),
        runtime_min=max(*(unit.runtime_min for unit in units), ceil(_SAFETY * seconds / 60)),
        seconds=round(seconds, 2),
        start_seconds=start,
        gpu=max(unit.gpu for unit in units),
    )


def light_resources(*, seconds: float, memory_mb: int = 500, disk_mb: int = 5) -> UnitResources:
    """Return the resources of a job that is small whatever the analysis."""
    return _limits(seconds, memory_mb=memory_mb, disk_mb=disk_mb)


def generation_resources(events: int, *, whole: bool = False) -> UnitResources:
    """Return the resources to generate `events` events; `whole`, with hadrons and their history."""
    rate, size = (_WHOLE_PER_SECOND, 0.02) if whole else (_GENERATED_PER_SECOND, 2e-4)
    return _limits(2 + events / rate, memory_mb=1200 if whole else 600, disk_mb=events * size)


def selection_resources(events: int, *, observables: int) -> UnitResources:
    """Return the resources to read and select `events` events."""
    disk = _SELECTION_MB + events * (observables + 3) * 8e-6
    work = _SELECTION_SECONDS + events / _SELECTED_PER_SECOND
    return _limits(work, start=_START_SECONDS, memory_mb=800 + events * 2e-3, disk_mb=disk)


def training_resources(ensemble: Ensemble, *, events: int, networks: int) -> UnitResources:
    """Return the resources to train `networks` networks on `events` events each."""
    work = networks * (_NETWORK_SECONDS + network_seconds(ensemble, events=events))
    memory = _JAX_MB + events * (len(ensemble.observables) + 4) * 3e-5
    return _limits(
        work,
        start=_START_JAX_SECONDS,
        memory_mb=memory,
        disk_mb=networks * (_NETWORK_MB + weight_count(ensemble) * 4e-6),
    )


def evaluation_resources(ensemble: Ensemble, *, events: int, samples: int, networks: int) -> UnitResources:
    """Return the resources to evaluate `networks` networks on `events` events in all of `samples` samples."""
    work = 2 * weight_count(ensemble) * events * networks / ensemble.folds / _FLOPS
    work += _NETWORK_EVALUATION_SECONDS * networks * samples
    memory = _JAX_MB + events * (len(ensemble.observables) + 2 * len(ensemble.processes)) * 2e-5
    disk = samples * _SAMPLE_MB + events * len(ensemble.processes) * 8e-6
    return _limits(work, start=_START_JAX_SECONDS, memory_mb=memory, disk_mb=disk)


def toys_resources(analysis: Analysis, *, likelihood: str, purpose: str, toys: int) -> UnitResources:
    """Return the resources to throw and fit `toys` pseudo-experiments of a likelihood."""
    channels = analysis.likelihoods[likelihood].channels.values()
    unbinned = any(isinstance(channel, UnbinnedChannel) for channel in channels)
    parameters = len(analysis.parameters) + len(analysis.systematics)
    each = _TOY_SECONDS[purpose] * (1 + parameters / 20) * (_UNBINNED_TOY if unbinned else 1)
    return _limits(
        toys * each, start=2 * _START_JAX_SECONDS, memory_mb=1500, disk_mb=1 + toys * (parameters + 4) * 1e-5
    )
