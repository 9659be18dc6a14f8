"""A sample that is a new process: its ratio is learned, a term is added, and what follows is read from the run."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from evercast.artifacts.event_table import read_event_table
from evercast.artifacts.likelihood_folder import open_likelihood, open_origins
from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asymptotics import cls
from evercast.inference.blinding import blind_channels
from evercast.inference.limits import upper_limit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel, UnbinnedChannelModel
from evercast.reinterpretation.neural.answers import ClsAt, DomainShare, Limits, ProcessAnswer
from evercast.reinterpretation.neural.asked import coefficient_of, process_of, unbinned_ensembles
from evercast.reinterpretation.neural.derived import Studies, nominal_value, process_change, process_name, sample_change
from evercast.reinterpretation.neural.domain import ArchivedDomains, largest_share, require_inside
from evercast.reinterpretation.neural.frozen import FrozenNeural
from evercast.reinterpretation.neural.gather import (
    closure_of,
    fitted_of,
    injected_of,
    limits_of,
    neyman_of,
    read_body,
    training_statistics_of,
)
from evercast.reinterpretation.neural.work import DerivedRun, WorkFolder
from evercast.reinterpretation.requests.model import NewPoint, Wanted
from evercast.spec.model import Analysis, UnbinnedChannel

__all__ = ["answer_process", "selected_events"]

_NEYMAN: Final = (0.0, 0.4, 0.8, 1.2, 1.6)
"""Tested values, in units of the asymptotic upper limit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """One point of a request with all that its answer needs."""

    work: WorkFolder
    frozen: FrozenNeural
    analysis: Analysis
    name: str
    point: NewPoint
    wanted: Wanted

    @property
    def new(self) -> str:
        return process_name(self.analysis, self.name)

    def derive(self, studies: Studies, channels: Collection[str]) -> DerivedRun:
        change = process_change(
            self.frozen, self.analysis, self.name, self.point, self.wanted, studies, channels=channels
        )
        return self.work.derive(self.name, change)


def answer_process(
    work: WorkFolder, frozen: FrozenNeural, name: str, point: NewPoint, *, domains: ArchivedDomains
) -> ProcessAnswer:  # fmt: skip
    """Return the answer for a sample that is a new process; only what depends on it is run.

    The events are selected first. Where too many of them lie outside of the training of the archived networks nothing
    is trained, and the status is ``refused``.

    Raises:
        EvercastError: the first error of a unit. Numbers that cannot be had are a status, not an error.
    """
    clock = time.monotonic()
    wanted = frozen.asked().wanted
    asked = _Asked(work=work, frozen=frozen, analysis=domains.analysis, name=name, point=point, wanted=wanted)
    derived = work.derive(name, sample_change(frozen, name))
    sample = frozen.signals[name].sample
    work.run(derived, stage="selection", name=sample)
    selection = derived.folder("selection", sample)
    largest = largest_share(domains.analysis, wanted.largest_share_outside)
    shares = domains.shares(selection, largest=largest)
    answer = _begun(asked, derived, selection, shares)
    try:
        require_inside(shares, where=f"$.signal.points.{name}")
        if answer.status != "no-events":
            derived = _computed(asked, [channel for channel, number in answer.events.items() if number])
            answer = _with_results(asked, derived, answer)
    except InvalidInput as err:
        refused = err.code == "request.outside-domain"
        answer = replace(answer, status="refused" if refused else "failed", reason=str(err))
    except NumericalFailure as err:
        answer = replace(answer, status="failed", reason=str(err))
    return replace(
        answer, units=derived.uses(), seconds=time.monotonic() - clock, document=derived.document,
        plan=derived.frozen.file,
    )  # fmt: skip


def selected_events(analysis: Analysis, likelihood: str, selection: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Return channel -> expected events, and channel -> number of events, in the channels of a likelihood."""
    table = read_event_table(selection / "events.zarr")
    expected, events = {}, {}
    for name, channel in analysis.likelihoods[likelihood].channels.items():
        if isinstance(channel, UnbinnedChannel):
            own = table.in_region(analysis.ensembles[channel.ensemble].region)
        else:
            own = table.in_region(channel.region)
            values = own.columns([channel.observable])[:, 0]
            own = own.take(np.flatnonzero((values >= channel.edges[0]) & (values <= channel.edges[-1])))
        expected[name], events[name] = float(own.weight.sum()), len(own)
    return expected, events


def _begun(asked: _Asked, derived: DerivedRun, selection: Path, shares: Sequence[DomainShare]) -> ProcessAnswer:
    expected, events = selected_events(asked.analysis, asked.frozen.likelihood, selection)
    stated = process_of(asked.point)
    read = read_body(selection / "summary.json").get("n_read")
    return ProcessAnswer(
        name=asked.name, status="ok" if any(events.values()) else "no-events", likelihood=asked.frozen.likelihood,
        process=asked.new, parameter=stated.parameter, coefficient=coefficient_of(stated), expected_events=expected,
        events=events, generated_events=read if isinstance(read, int) else None, domain=tuple(shares),
        nominal=nominal_value(asked.point), selection=selection, run=derived.frozen.folder.root,
    )  # fmt: skip


def _computed(asked: _Asked, channels: Collection[str]) -> DerivedRun:
    """Run the derived document: to its fit, whose limit says which values are tested, then with its studies.

    Args:
        asked: the point.
        channels: that have events of the signal; the process stands in these.
    """
    wanted, likelihood = asked.wanted, asked.frozen.likelihood
    derived = asked.derive(Studies(), channels)
    neyman: tuple[float, ...] = ()
    if wanted.toys and wanted.neyman and wanted.observed:
        asked.work.run(derived, stage="fit", name=likelihood)
        neyman = _tested(asked, derived)
    if wanted.toys:
        injection = wanted.injection or (nominal_value(asked.point),)
        derived = asked.derive(
            Studies(injection=injection, neyman=neyman, toys=wanted.toys, confidence_level=wanted.confidence_level),
            channels,
        )
    asked.work.run(derived)
    return derived


def _tested(asked: _Asked, derived: DerivedRun) -> tuple[float, ...]:
    """Return the values of the Neyman construction, about the asymptotic limit; three digits keep their keys."""
    body = read_body(derived.folder("fit", asked.frozen.likelihood) / "result.json")
    limits = limits_of(body.get("observed")) or limits_of(body.get("expected"))
    low, high = process_of(asked.point).bounds
    if limits is not None:
        high = min(high, 1.6 * (limits.observed or limits.expected[2]))
    scaled = (float(f"{high * part / _NEYMAN[-1]:.3g}") for part in _NEYMAN)
    return tuple(dict.fromkeys(value for value in scaled if value >= low))


def _with_results(asked: _Asked, derived: DerivedRun, answer: ProcessAnswer) -> ProcessAnswer:
    likelihood = asked.frozen.likelihood
    body = read_body(derived.folder("fit", likelihood) / "result.json")
    folder = derived.folder("serialization", "likelihood") / "likelihood"
    model = open_likelihood(folder, likelihood)
    observed = fitted_of(body.get("observed"), answer.parameter)
    limits = limits_of(body.get("observed")) or limits_of(body.get("expected"))
    trained = derived.unit("training_statistics", likelihood)
    studies = {name: derived.unit("study", f"{name}-{likelihood}") for name in ("injection", "neyman")}
    results = {
        name: read_body(derived.frozen.folder.unit(unit) / "result.json")
        for name, unit in studies.items()
        if unit is not None
    }
    injection, neyman = results.get("injection"), results.get("neyman")
    return replace(
        answer, status="at-bound" if observed is not None and observed.status == "at-bound" else "ok",
        observed=observed, expected=fitted_of(body.get("expected"), answer.parameter), limits=limits,
        inside=_inside(model, folder, answer, limits), cls=_cls(model, asked, answer),
        injection=() if injection is None else injected_of(injection),
        neyman=None if neyman is None else neyman_of(neyman),
        closure=tuple(
            closure_of(read_body(derived.folder("evaluation", name) / "diagnostics.json"), name, asked.new)
            for name in _learned(asked, answer)
        ),
        training_statistics=()
        if trained is None
        else training_statistics_of(
            read_body(derived.frozen.folder.unit(trained) / "result.json"), _covered(asked, likelihood)
        ),
        expected_events=_yields(model, asked.new, answer),
    )  # fmt: skip


def _learned(asked: _Asked, answer: ProcessAnswer) -> tuple[str, ...]:
    """Return the ensembles in which the new process is learned."""
    channels = asked.analysis.likelihoods[answer.likelihood].channels.items()
    found = (one.ensemble for name, one in channels if isinstance(one, UnbinnedChannel) and answer.events[name])
    return tuple(dict.fromkeys(found))


def _covered(asked: _Asked, likelihood: str) -> tuple[str, ...]:
    """Return the processes whose networks replicas train again."""
    ensembles = [asked.analysis.ensembles[name] for name in unbinned_ensembles(asked.analysis, likelihood)]
    archived = {process for one in ensembles if one.bootstrap is not None for process in one.processes}
    return (*sorted(archived), asked.new)


def _yields(model: LikelihoodModel, new: str, answer: ProcessAnswer) -> dict[str, float]:
    """Return channel -> expected events of the new process at coefficient 1, as the likelihood has them."""
    found = dict(answer.expected_events)
    for channel in model.channels:
        if isinstance(channel, UnbinnedChannelModel):
            found[channel.name] = sum(one.yield_events for one in channel.components if one.process == new)
        else:
            found[channel.name] = sum(float(np.sum(one.nominal)) for one in channel.samples if one.name == new)
    return found


def _cls(model: LikelihoodModel, asked: _Asked, answer: ProcessAnswer) -> ClsAt | None:
    """Return CLs at the value that is asked; None where it is outside of the bounds, or the fit has no sensitivity."""
    value, (_, high) = asked.wanted.mu, process_of(asked.point).bounds
    if not 0.0 < value <= high:
        return None
    blind = bool(blind_channels(model)) and not asked.analysis.inference.unblind
    try:
        found = cls(Likelihood(model), value, poi=answer.parameter, observed=asked.wanted.observed and not blind)
    except (InvalidInput, NumericalFailure):
        return None
    return ClsAt(value=value, observed=found.cls_obs, expected=found.cls_exp)


def _inside(model: LikelihoodModel, folder: Path, answer: ProcessAnswer, limits: Limits | None) -> Limits | None:
    """Return the limits with that part of the signal alone which is inside of the domain.

    Its yield is reduced by the share outside; its density, normalised, stays that of all of its events.
    """
    shares = {share.ensemble: share.outside for share in answer.domain if share.outside > 0.0}
    if not shares or limits is None:
        return None
    kept = 1.0 - max(shares.values())
    origins = open_origins(folder, answer.likelihood)
    channels = tuple(
        _reduced(channel, answer.process, kept, origins.get(channel.name))
        if isinstance(channel, UnbinnedChannelModel)
        else channel
        for channel in model.channels
    )
    likelihood = Likelihood(replace(model, channels=channels))
    try:
        found = upper_limit(
            likelihood, poi=answer.parameter, confidence_level=limits.confidence_level,
            observed=limits.observed is not None,
        )  # fmt: skip
    except (InvalidInput, NumericalFailure):
        return None
    return Limits(
        confidence_level=found.confidence_level, observed=found.observed, expected=found.expected,
        remarks=found.remarks,
    )  # fmt: skip


def _reduced(channel: UnbinnedChannelModel, process: str, kept: float, origin: Any) -> UnbinnedChannelModel:
    number = next((at for at, one in enumerate(channel.components) if one.process == process), None)
    if number is None:
        return channel
    components = tuple(
        replace(one, yield_events=one.yield_events * kept) if at == number else one
        for at, one in enumerate(channel.components)
    )
    simulation = channel.simulation
    if simulation is not None and origin is not None:
        weight = np.asarray(simulation.weight) * np.where(np.asarray(origin) == number, kept, 1.0)
        simulation = replace(simulation, weight=weight)
    return replace(channel, components=components, simulation=simulation)
