"""Stage training_statistics: what the finite training samples add to the uncertainty of a likelihood's fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final

import numpy as np

from evercast.artifacts.files import atomic_write_json
from evercast.artifacts.likelihood_folder import open_likelihood
from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.asimov import asimov_model
from evercast.inference.fit import poi_of
from evercast.inference.training_statistics import ESTIMATORS, EstimatorName, drawn_members, spread_of_fits
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.model import LikelihoodModel
from evercast.plan.recipes import Task, TrainingStatisticsRecipe
from evercast.plan.seeds import derive_seed
from evercast.runtime.device import common_device, configure_device
from evercast.spec.model import UnbinnedChannel
from evercast.stages.training_statistics.ensembles import EnsembleRatios, read_ensemble
from evercast.stages.training_statistics.refits import DataKind, Refits

__all__ = ["run"]

_log = logging.getLogger(__name__)
_FORMAT: Final = "training-statistics/1.0.0"
_DRAWS: Final = 50
"""Draws of the members: the standard deviation is known to 10 %."""


def run(task: Task[TrainingStatisticsRecipe]) -> None:
    """Measure the three estimators and write ``result.json``.

    On Asimov data made of the simulated events, and on the observed ones unless a channel is blind. An estimator that
    the ensembles do not allow is null, with the reason.

    Raises:
        IntegrityError: an input is missing or damaged; ``training-statistics.events``.
        InvalidInput: there is no such likelihood, or no parameter of interest.
        NumericalFailure: the fit with the nominal ratios fails.
    """
    recipe = task.recipe
    device = common_device(ensemble.training.device for ensemble in task.recipe.ensembles.values())
    configure_device(threads=task.threads, cache=task.compiled_functions(), gpus=task.gpus, device=device)
    model = open_likelihood(task.inputs["likelihood"] / "likelihood", recipe.likelihood)
    likelihood = Likelihood(model)
    poi = poi_of(likelihood)
    ensembles = {name: read_ensemble(task, name) for name in recipe.ensembles}
    channels = {
        key: ensembles[channel.ensemble]
        for key, channel in recipe.spec.channels.items()
        if isinstance(channel, UnbinnedChannel)
    }
    blind = not recipe.inference.unblind and any(channel.blind for channel in model.channels)
    data: dict[str, tuple[LikelihoodModel, DataKind] | None] = {
        "expected": _asimov(likelihood),
        "observed": None if blind else (model, "observed"),
    }
    body: dict[str, object] = {
        "format": _FORMAT,
        "likelihood": recipe.likelihood,
        "poi": poi,
        "estimators": {name: asdict(described) for name, described in ESTIMATORS.items()},
    }
    for kind, chosen in data.items():
        if chosen is None:
            body[kind] = None
            continue
        refits = Refits.of(chosen[0], chosen[1], ensembles=channels, data_sample=recipe.data_sample, poi=poi)
        body[kind] = _measured(refits, channels, seed=derive_seed("ensemble_noise", recipe.likelihood))
    atomic_write_json(task.output / "result.json", body)


def _asimov(likelihood: Likelihood) -> tuple[LikelihoodModel, DataKind] | None:
    """Return the Asimov data; None where there are no simulated events."""
    try:
        return asimov_model(likelihood, likelihood.initial, source="simulation"), "simulation"
    except InvalidInput as err:
        _log.info("no expected results: %s", err.message)
        return None


def _measured(refits: Refits, channels: Mapping[str, EnsembleRatios], *, seed: int) -> dict[str, object]:
    """Return all estimates with one kind of data."""
    best = refits.fit({name: one.nominal for name, one in channels.items()})
    nominal = best.parameter(refits.poi)
    made: dict[EstimatorName, Callable[[], dict[str, object]]] = {
        "ensemble_noise": lambda: _ensemble_noise(refits, channels, seed=seed),
        "bootstrap": lambda: _bootstrap(refits, channels),
        "weighted_members": lambda: _weighted_members(refits, channels),
    }
    estimates: dict[str, object] = {}
    for name, measure in made.items():
        estimate = measure()
        sigma = estimate["sigma"]
        total = None
        if isinstance(sigma, float) and nominal.uncertainty is not None:
            total = float(np.hypot(sigma, nominal.uncertainty))
            _log.info("%s, %s: %.4g on %s +- %.4g", refits.data, name, sigma, refits.poi, nominal.uncertainty)
        estimates[name] = {**estimate, "total_sigma": total}
    return {"poi_value": nominal.value, "sigma": nominal.uncertainty, "status": best.status, "estimates": estimates}


def _without(reason: str) -> dict[str, object]:
    return {"sigma": None, "error": None, "reason": reason}


def _ensemble_noise(refits: Refits, channels: Mapping[str, EnsembleRatios], *, seed: int) -> dict[str, object]:
    if any(one.spec.members < 2 for one in channels.values()):
        return _without("an ensemble has one member")
    drawn = {
        id(one): drawn_members(one.spec.members, processes=len(one.spec.processes), draws=_DRAWS, seed=seed + number)
        for number, one in enumerate({id(one): one for one in channels.values()}.values())
    }
    known: dict[tuple[bytes, ...], float] = {}

    def refit(number: int) -> float:
        """Return the fit of one draw; few members are drawn in few ways, and each is fitted once."""
        members = {key: np.sort(every[number], axis=-1) for key, every in drawn.items()}
        identity = tuple(one.tobytes() for one in members.values())
        if identity not in known:
            known[identity] = refits.poi_value({name: one.drawn(members[id(one)]) for name, one in channels.items()})
        return known[identity]

    return {**asdict(spread_of_fits(refit, _DRAWS)), "draws": _DRAWS}


def _bootstrap(refits: Refits, channels: Mapping[str, EnsembleRatios]) -> dict[str, object]:
    if any(one.replicas is None or one.spec.bootstrap is None for one in channels.values()):
        return _without("an ensemble declares no bootstrap")
    count = min(one.spec.bootstrap.replicas for one in channels.values() if one.spec.bootstrap is not None)
    spread = spread_of_fits(
        lambda number: refits.poi_value({name: one.replica(number) for name, one in channels.items()}), count
    )
    return {**asdict(spread), "replicas": count}


def _weighted_members(refits: Refits, channels: Mapping[str, EnsembleRatios]) -> dict[str, object]:
    fitted = {id(one): one for one in channels.values()}
    try:
        weights = {key: one.weighted_members() for key, one in fitted.items()}
        best, sigma = refits.weighted_members_sigma({name: weights[id(one)] for name, one in channels.items()})
    except NumericalFailure as err:
        return _without(err.message)
    if best.parameter(refits.poi).at_bound:
        return _without(f"{refits.poi} lies at its bound, where its covariance is 0")
    return {
        "sigma": sigma,
        "error": None,
        "poi_value": best.parameter(refits.poi).value,
        "weights": {name: weights[id(one)].weights.tolist() for name, one in channels.items()},
    }
