"""A sample of the archived model at other values of its parameters: the archived networks are asked about it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from scipy.stats import chi2

from evercast.artifacts.event_table import EventTable, read_event_table
from evercast.artifacts.likelihood_folder import open_likelihood
from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asymptotics import cls
from evercast.inference.blinding import blind_channels
from evercast.inference.fit import fit, poi_of
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import BinnedChannelModel, ChannelModel, LikelihoodModel
from evercast.reinterpretation.copies import ancestors
from evercast.reinterpretation.neural.answers import ClsAt, ModelPointAnswer, UnitUse
from evercast.reinterpretation.neural.derived import sample_change
from evercast.reinterpretation.neural.domain import ArchivedDomains, largest_share, require_inside
from evercast.reinterpretation.neural.frozen import FrozenNeural
from evercast.reinterpretation.neural.gather import read_body
from evercast.reinterpretation.neural.networks import ArchivedNetworks
from evercast.reinterpretation.neural.outcomes import computed, lean
from evercast.reinterpretation.neural.process import selected_events
from evercast.reinterpretation.neural.work import DerivedRun, WorkFolder
from evercast.reinterpretation.requests.model import NewPoint
from evercast.spec.model import Analysis, BinnedChannel, UnbinnedChannel

__all__ = ["answer_model_point"]

_FACTOR: Final = 1.5
"""Between the expected events of a sample and of the model, beyond which a fit says nothing of the point."""


def answer_model_point(
    work: WorkFolder, frozen: FrozenNeural, name: str, point: NewPoint, *, domains: ArchivedDomains
) -> ModelPointAnswer:  # fmt: skip
    """Return the answer for a sample of the archived model at another point.

    The sample, weighted to the luminosity, takes the place of the data: its best fit should be the declared point. The
    observed data are then compared with that point.

    Raises:
        EvercastError: the first error of a unit. Numbers that cannot be had are a status, not an error.
    """
    clock = time.monotonic()
    analysis, wanted = domains.analysis, frozen.asked().wanted
    sample = frozen.signals[name].sample
    derived = work.derive(name, sample_change(frozen, name))
    work.run(derived, stage="selection", name=sample)
    selection = derived.folder("selection", sample)
    shares = domains.shares(selection, largest=largest_share(analysis, wanted.largest_share_outside))
    expected, events = selected_events(analysis, frozen.likelihood, selection)
    networks = ArchivedNetworks(archived=domains.archived)
    model = open_likelihood(networks.likelihoods, frozen.likelihood)
    read = read_body(selection / "summary.json").get("n_read")
    answer = ModelPointAnswer(
        name=name, status="ok" if any(events.values()) else "no-events", likelihood=frozen.likelihood,
        declared=_declared(analysis, point.model_point), expected_events=expected, model_events={}, events=events,
        generated_events=read if isinstance(read, int) else None, domain=shares, selection=selection,
        run=derived.frozen.folder.root,
    )  # fmt: skip
    try:
        require_inside(shares, where=f"$.signal.points.{name}")
        if answer.status != "no-events":
            answer = _with_results(answer, frozen, analysis, model, networks, selection, point)
    except InvalidInput as err:
        refused = err.code == "request.outside-domain"
        answer = replace(answer, status="refused" if refused else "failed", reason=str(err))
    except NumericalFailure as err:
        answer = replace(answer, status="failed", reason=str(err))
    return replace(
        answer, units=_uses(derived, sample), seconds=time.monotonic() - clock, document=derived.document,
        plan=derived.frozen.file,
    )  # fmt: skip


def _uses(derived: DerivedRun, sample: str) -> tuple[UnitUse, ...]:
    """Return the units that were needed: the selection of the sample, what it rests on, and those of the archive."""
    plan = derived.frozen.plan
    own = [unit for unit in plan.of_stage("selection") if unit.name == sample]
    archived = {unit.id for unit in plan.units if derived.origins.get(unit.id) == "archive"}
    return derived.uses(only={unit.id for unit in own} | ancestors(derived.frozen, own) | archived)


def _declared(analysis: Analysis, values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(values.get(name, one.initial)) for name, one in analysis.parameters.items()}


def _with_results(
    answer: ModelPointAnswer, frozen: FrozenNeural, analysis: Analysis, model: LikelihoodModel,
    networks: ArchivedNetworks, selection: Path, point: NewPoint,
) -> ModelPointAnswer:  # fmt: skip
    likelihood = Likelihood(model)
    poi = poi_of(likelihood)
    theta = likelihood.initial.copy()
    for name, value in answer.declared.items():
        if name in likelihood.names:
            theta[likelihood.index(name)] = value
    expected = likelihood.expected_events(theta)
    _require_complete(answer.expected_events, {name: float(np.sum(values)) for name, values in expected.items()})
    inference = lean(analysis.inference, scan_range=analysis.inference.scan_range, limit=None)
    sample = _with_sample(model, analysis, networks, read_event_table(selection / "events.zarr"))
    closure, _ = computed(sample, inference, poi)
    answer = replace(
        answer, closure=closure, model_events={name: float(np.sum(values)) for name, values in expected.items()},
        pulls={} if closure is None else _pulls(closure.parameters, point.model_point),
    )  # fmt: skip
    blind = bool(blind_channels(model)) and not analysis.inference.unblind
    if blind or not frozen.asked().wanted.observed:
        return answer
    observed, _ = computed(model, inference, poi)
    held = {name: value for name, value in point.model_point.items() if name in likelihood.names}
    ratio = max(fit(likelihood, fixed=held).twice_nll - fit(likelihood).twice_nll, 0.0)
    return replace(
        answer, observed=observed, twice_nll_ratio=ratio, p_value=float(chi2.sf(ratio, len(held))),
        cls=_cls(likelihood, poi, held),
    )  # fmt: skip


def _require_complete(sample: Mapping[str, float], model: Mapping[str, float]) -> None:
    """Refuse a sample with by far other expected events than the model: one without all of its processes.

    Raises:
        InvalidInput: ``request.incomplete-sample``.
    """
    for name, expected in model.items():
        if not expected / _FACTOR <= sample[name] <= expected * _FACTOR:
            message = (
                f"channel '{name}': the sample has {sample[name]:.4g} expected events, the model {expected:.4g} at the "
                "declared values"
            )
            hint = "a sample of the model holds all of its processes, weighted to one cross-section"
            raise InvalidInput(message, code="request.incomplete-sample", hint=hint)


def _cls(likelihood: Likelihood, poi: str, held: Mapping[str, float]) -> ClsAt | None:
    """Return CLs where the point is a value of the parameter of interest alone, and 0 is the absence of a signal."""
    if set(held) != {poi} or held[poi] <= 0.0 or likelihood.lower[likelihood.index(poi)] > 0.0:
        return None
    try:
        found = cls(likelihood, held[poi], poi=poi)
    except (InvalidInput, NumericalFailure):
        return None
    return ClsAt(value=held[poi], observed=found.cls_obs, expected=found.cls_exp)


def _pulls(fitted: Mapping[str, tuple[float, float | None]], declared: Mapping[str, float]) -> dict[str, float]:
    found = {}
    for name, value in declared.items():
        best, uncertainty = fitted.get(name, (math.nan, None))
        if uncertainty:
            found[name] = (best - value) / uncertainty
    return found


def _with_sample(
    model: LikelihoodModel, analysis: Analysis, networks: ArchivedNetworks, table: EventTable
) -> LikelihoodModel:
    """Return the likelihood with the weighted events of a sample as its data."""
    declared = analysis.likelihoods[model.name].channels
    channels: list[ChannelModel] = []
    for channel in model.channels:
        spec = declared[channel.name]
        if isinstance(channel, BinnedChannelModel) and isinstance(spec, BinnedChannel):
            own = table.in_region(spec.region)
            values = own.columns([spec.observable])[:, 0]
            counts = np.histogram(values, np.array(spec.edges), weights=own.weight)[0]
            channels.append(replace(channel, observed=counts))
        elif not isinstance(channel, BinnedChannelModel) and isinstance(spec, UnbinnedChannel):
            own = table.in_region(analysis.ensembles[spec.ensemble].region)
            channels.append(replace(channel, events=networks.events(channel, spec.ensemble, own)))
    return replace(model, channels=tuple(channels), asimov="simulation")
