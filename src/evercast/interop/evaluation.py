"""A bundle's networks at events of the user: domain first, then log ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from evercast.artifacts.bundle_ensembles import BundleNetworks, read_ensembles
from evercast.artifacts.validity import VALIDITY_FILE, Examined, examine, read_points, read_validity
from evercast.errors import InvalidInput
from evercast.interop.event_columns import Column, columns_of_file, columns_of_mapping
from evercast.likelihood.model import EventSet, UnbinnedChannelModel

__all__ = ["Evaluation", "ensemble_of_channel", "evaluate_events", "evaluate_networks", "event_set"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """What the networks of a bundle say of events.

    Args:
        channel: the unbinned channel of the likelihood.
        ensemble: whose networks were evaluated.
        observables: names of the inputs, in order.
        inputs: (events, observables), in the units of the manifest.
        values: label -> (events,) log ratios, natural logarithm, or (events, terms) coefficients; labels as in
            `evercast.artifacts.bundle_ensembles.BundleNetworks`.
        domain: how the events lie with respect to the domain of validity; None where the bundle states none.
        extrapolated: one event at least lies outside of the domain, or nothing says what the domain is.
        extrapolation_allowed: the user asked that events be evaluated wherever they lie.
    """

    channel: str
    ensemble: str
    observables: tuple[str, ...]
    inputs: Float64[np.ndarray, "events observables"]
    values: Mapping[str, Float64[np.ndarray, "events ..."]]
    domain: Examined | None
    extrapolated: bool
    extrapolation_allowed: bool

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.inputs)

    def log_ratio(self, process: str) -> Float64[np.ndarray, " events"]:
        """Return ln p_process(x) / p_reference(x) of each event.

        Raises:
            InvalidInput: ``evaluate.process``.
        """
        if process not in self.values or self.values[process].ndim != 1:
            known = ", ".join(label for label, values in self.values.items() if values.ndim == 1)
            raise InvalidInput(f"there is no log ratio of {process!r}; there are {known}", code="evaluate.process")
        return self.values[process]

    def to_json(self) -> dict[str, object]:
        """Return the result as JSON; whether events were extrapolated stands in it."""
        return {
            "channel": self.channel,
            "ensemble": self.ensemble,
            "events": len(self),
            "observables": list(self.observables),
            "extrapolated": self.extrapolated,
            "extrapolation_allowed": self.extrapolation_allowed,
            "domain": None if self.domain is None else self.domain.to_json(),
            "values": {label: values.tolist() for label, values in self.values.items()},
        }


def ensemble_of_channel(manifest: Mapping[str, object], channel: str | None) -> tuple[str, str]:
    """Return an unbinned channel and the ensemble whose networks it uses.

    Args:
        manifest: of the bundle.
        channel: its name; None where there is one.

    Raises:
        InvalidInput: ``evaluate.channel``.
    """
    entries = manifest.get("channels")
    channels = {str(name): entry for name, entry in entries.items()} if isinstance(entries, Mapping) else {}
    names = ", ".join(channels) or "none"
    if channel is None and len(channels) != 1:
        raise InvalidInput(
            f"name one of the unbinned channels: {names}", code="evaluate.channel", hint="--channel NAME"
        )
    chosen = channel or next(iter(channels))
    entry = channels.get(chosen)
    if not isinstance(entry, Mapping):
        raise InvalidInput(f"there is no unbinned channel {chosen!r}; there are: {names}", code="evaluate.channel")
    return chosen, str(entry.get("ensemble"))


def evaluate_events(
    folder: Path,
    manifest: Mapping[str, object],
    events: Path | Mapping[str, ArrayLike],
    *,
    channel: str | None = None,
    units: Mapping[str, str] | None = None,
    allow_extrapolation: bool = False,
) -> Evaluation:
    """Return what the networks of a bundle say of events that none of them has seen.

    Args:
        folder: of the bundle, its digests compared.
        manifest: of the bundle.
        events: a file (Parquet, CSV, ROOT, zarr folder) or name -> numbers; columns are found by name.
        channel: unbinned channel whose networks are asked; None where there is one.
        units: observable -> unit of the numbers, as the caller knows it.
        allow_extrapolation: events outside the domain are evaluated all the same, which the result says.

    Raises:
        InvalidInput: ``validity.outside`` with the fraction of events and the observables; ``validity.missing``;
            ``evaluate.not-published``, the bundle has no networks; ``evaluate.channel``; what
            `evercast.interop.event_columns` refuses.
        IntegrityError: a file of the bundle is damaged.
        NumericalFailure: ``evaluation.not-finite``.
    """
    name, ensemble = ensemble_of_channel(manifest, channel)
    found = read_ensembles(folder, manifest).get(ensemble)
    if found is None:
        disclosure = manifest.get("disclosure")
        raise InvalidInput(
            f"the networks of channel {name!r} are not in the bundle: its disclosure is {disclosure!r}",
            code="evaluate.not-published",
            where=str(folder),
            hint="L(theta) of the published events needs no networks: evercast fit, or read_numpy.py",
        )
    wanted = _wanted(manifest, found)
    inputs = (
        columns_of_file(events, wanted, units=units)
        if isinstance(events, Path)
        else columns_of_mapping(events, wanted, units=units)
    )
    domain = _examined(folder, ensemble, inputs, allow_extrapolation=allow_extrapolation)
    problems = [] if domain is None else domain.problems()
    if problems and not allow_extrapolation:
        raise InvalidInput(
            f"the events lie outside of the domain of validity: {'; '.join(problems)}",
            code="validity.outside",
            where=str(folder / VALIDITY_FILE),
            hint="are units and selection those of the analysis? --allow-extrapolation evaluates them all the same",
        )
    return Evaluation(
        channel=name, ensemble=ensemble, observables=found.observables, inputs=inputs,
        values=evaluate_networks(found, inputs), domain=domain,
        extrapolated=domain is None or bool(domain.outside.any() or problems),
        extrapolation_allowed=allow_extrapolation,
    )  # fmt: skip


def _wanted(manifest: Mapping[str, object], networks: BundleNetworks) -> list[Column]:
    """Return the inputs of the networks with the units that the manifest states."""
    entries = manifest.get("observables")
    units = {
        str(entry["name"]): str(entry["unit"])
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, Mapping) and {"name", "unit"} <= entry.keys()
    }
    return [Column(name=name, unit=units.get(name, "1")) for name in networks.observables]


def _examined(
    folder: Path, ensemble: str, inputs: Float64[np.ndarray, "events observables"], *, allow_extrapolation: bool
) -> Examined | None:
    """Return how the events lie in the domain; None where there is none and that was allowed."""
    if allow_extrapolation and not (folder / VALIDITY_FILE).is_file():
        return None
    domain = read_validity(folder)
    nothing = np.zeros((0, inputs.shape[1]), dtype=np.float32)
    return examine(domain, ensemble, read_points(folder, domain).get(ensemble, nothing), inputs)


def evaluate_networks(
    networks: BundleNetworks, inputs: Float64[np.ndarray, "events observables"]
) -> dict[str, Float64[np.ndarray, "events ..."]]:
    """Return label -> log ratios (events,) or coefficients (events, terms) at events that no network has seen.

    By the compiled evaluation in float32, combined in float64.

    Raises:
        NumericalFailure: ``evaluation.not-finite``.
    """
    from evercast.networks.evaluation import ensemble_coefficients, ensemble_log_ratio  # noqa: PLC0415 - JAX

    found: dict[str, Float64[np.ndarray, "events ..."]] = {}
    for label, ratio in networks.ratios.items():
        one = ratio.networks
        combined = ensemble_log_ratio(one.architecture, one.weights, inputs, None, combine=networks.combine).log_ratio
        found[label] = (combined if ratio.calibration is None else ratio.calibration(combined)) - ratio.log_norm
    for label, polynomial in networks.polynomials.items():
        one = polynomial.networks
        found[label] = ensemble_coefficients(one.architecture, one.weights, inputs, None) - polynomial.constants
    return found


def event_set(
    channel: UnbinnedChannelModel, evaluation: Evaluation, weight: Float64[np.ndarray, " events"]
) -> EventSet:
    """Return evaluated events as a channel needs them: columns by component, anchor and term.

    Args:
        channel: that of the evaluation.
        evaluation: of the events.
        weight: of each event.

    Raises:
        InvalidInput: ``evaluate.process``, a component, variation or polynomial has no networks.
    """

    def columns(labels: Sequence[str]) -> Float64[np.ndarray, "events columns"] | None:
        found = [evaluation.log_ratio(label) if label else np.zeros(len(evaluation)) for label in labels]
        return np.stack(found, axis=1) if found else None

    ratios = columns([component.process for component in channel.components])
    if ratios is None:
        raise InvalidInput(f"channel {channel.name!r} has no components", code="evaluate.process")
    sides = {
        side: columns([f"{anchor.process}.{anchor.parameter}.{side}" for anchor in channel.anchors])
        for side in ("up", "down")
    }
    terms = [evaluation.values[f"{morph.process}.polynomial"] for morph in channel.polynomials]
    return EventSet(
        log_ratio=ratios,
        weight=weight,
        log_up=sides["up"],
        log_down=sides["down"],
        coefficients=np.concatenate(terms, axis=1) if terms else None,
    )
