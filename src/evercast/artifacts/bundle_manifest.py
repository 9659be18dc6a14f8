"""What the manifest of a neural bundle says of the analysis: enough to use the likelihood without its document."""

from __future__ import annotations

from typing import Final

from evercast.likelihood.model import LikelihoodModel, UnbinnedChannelModel
from evercast.plan.recipes import SerializationRecipe
from evercast.runtime.provenance import seeds_of, versions
from evercast.spec.codec import to_json
from evercast.spec.model import LikelihoodSpec, UnbinnedChannel

__all__ = ["manifest_of"]

_CONVENTIONS: Final = {
    "log_ratio": "natural logarithm of p_process(x) / p_reference(x), both normalised in the region; p_reference is "
    "the mean of the densities of the reference samples with the weights under `reference`",
    "intensity": "lambda(x) / p_reference(x) = sum_j coefficient_j yield_j interpolation_j exp(log_ratio_j(x)) "
    "g_j(x, alpha) / Z_j(alpha); g_j = Z_j = 1 where a process has no morph",
    "morph": "g_j = product over its anchors of code 4 between exp(log_down) (-1), 1 (0) and exp(log_up) (+1), or with "
    "log_linear exp(alpha log_up) above 0 and exp(-alpha log_down) below, times exp(sum over terms of coefficient x "
    "product of powers of parameters); Z_j = mean of exp(log_ratio_j) g_j over the reference events with their weights",
    "twice_nll": "2 [nu - sum_i w_i ln(lambda(x_i) / p_reference(x_i))] per unbinned channel, nu = sum_j coefficient_j "
    "yield_j interpolation_j; 2 sum_b [nu_b - n_b ln nu_b + ln Gamma(n_b + 1)] per binned channel; - 2 ln of each "
    "constraint term, Gaussian or Poisson, constants included",
    "interpolation": "of yields: HistFactory code 4, or 1 where the modifier says so, between down (-1), 1 (0) and up "
    "(+1); of templates: code 4p",
    "evaluation": "an event that no network has seen is evaluated by all members and folds: members are combined as "
    "`combine` says within each fold, then the ratios of the folds are averaged; simulated events in "
    "events.safetensors are evaluated by the networks of the fold that left them out",
}


def manifest_of(
    recipe: SerializationRecipe,
    model: LikelihoodModel,
    *,
    disclosure: str,
    run_id: str,
    workspace_sha256: str | None,
) -> dict[str, object]:
    """Return the part of the manifest that follows from the document.

    Args:
        recipe: of the serialization.
        model: the likelihood that is published.
        disclosure: ``events``, ``ratios`` or ``networks``.
        run_id: shared with everything that was serialized together.
        workspace_sha256: of the pyhf workspace beside the bundle.
    """
    spec = recipe.likelihoods[model.name]
    used = {process for channel in spec.channels.values() for process in _processes(recipe, channel)}
    unbinned = [channel for channel in model.channels if isinstance(channel, UnbinnedChannelModel)]
    coefficients = {one.process: one.coefficient for channel in unbinned for one in channel.components}
    return {
        "name": model.name,
        "title": recipe.title if spec.title is None else f"{recipe.title}: {spec.title}",
        "analysis": recipe.analysis,
        "run_id": run_id,
        "disclosure": disclosure,
        "metadata": to_json(recipe.metadata),
        "versions": versions(),
        "seeds": seeds_of(recipe),
        "conventions": _CONVENTIONS,
        "selection": to_json(recipe.selection),
        "observables": _observables(recipe, spec),
        "processes": {
            name: {
                "title": process.title,
                "sample": process.sample,
                "coefficient": coefficients.get(name, process.coefficient),
            }
            for name, process in recipe.processes.items()
            if name in used
        },
        "systematics": to_json(recipe.systematics),
        "channels": {channel.name: _channel(recipe, spec, channel) for channel in unbinned},
        "pseudo_data": recipe.pseudo is not None,
        "workspace_sha256": workspace_sha256,
    }


def _processes(recipe: SerializationRecipe, channel: object) -> tuple[str, ...]:
    if isinstance(channel, UnbinnedChannel):
        return recipe.ensembles[channel.ensemble].processes
    return tuple(getattr(channel, "processes", ()))


def _observables(recipe: SerializationRecipe, spec: LikelihoodSpec) -> list[dict[str, object]]:
    ensembles = [
        recipe.ensembles[channel.ensemble] for channel in spec.channels.values() if isinstance(channel, UnbinnedChannel)
    ]
    names = dict.fromkeys(name for ensemble in ensembles for name in ensemble.observables)
    return [
        {
            "name": name,
            "unit": recipe.selection.observables[name].unit,
            "expression": recipe.selection.observables[name].expression,
            "label": recipe.selection.observables[name].label,
        }
        for name in names
    ]


def _channel(recipe: SerializationRecipe, spec: LikelihoodSpec, channel: UnbinnedChannelModel) -> dict[str, object]:
    declared = spec.channels[channel.name]
    ensemble = declared.ensemble if isinstance(declared, UnbinnedChannel) else ""
    region = recipe.ensembles[ensemble].region
    return {
        "ensemble": ensemble,
        "region": region,
        "cut": recipe.selection.regions[region].cut,
        "yields": {component.process: component.yield_events for component in channel.components},
        "observed_events": len(channel.events.weight),
        "simulated_events": 0 if channel.simulation is None else len(channel.simulation.weight),
        "reference_events": 0 if channel.reference is None else len(channel.reference.weight),
        "blind": channel.blind,
    }
