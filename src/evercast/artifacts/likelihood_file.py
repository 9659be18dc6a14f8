"""The file form of a likelihood: ``likelihood.json`` (everything but the events) and ``events.safetensors``.

Tensors of an unbinned channel C, rows = events, columns = components in the order of ``likelihood.json``::

    C.observed.log_ratio    float32 (events, components)   natural log of p_component(x) / p_reference(x) of the data
    C.observed.weight       float64 (events,)              1 for data
    C.observed.observables  float64 (events, observables)  only with disclosure ``events``
    C.asimov.log_ratio      float32                        the same of simulated events, each evaluated out of fold
    C.asimov.weight         float64                        expected events at the initial values of the parameters
    C.asimov.process        int32 (events,)                the component whose sample the event is from
    C.reference.log_ratio   float32                        the same of the reference, where a channel has morphs
    C.reference.weight      float64                        of the mean over the reference; the sum is 1

With morphs, each of the three sets has, in the order of ``anchors`` and ``polynomials``::

    C.SET.log_up            float32 (events, anchors)      natural log of p(x | +1) / p(x | 0)
    C.SET.log_down          float32 (events, anchors)      natural log of p(x | -1) / p(x | 0)
    C.SET.coefficients      float32 (events, terms)        of all terms of all polynomials
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from evercast.artifacts.bundle_open import BUNDLE_SCHEMA, require_schema, require_validity
from evercast.artifacts.files import atomic_write_json, read_json, sha256_file
from evercast.artifacts.likelihood_codec import Columns, from_entry, to_entry
from evercast.artifacts.likelihood_entry import LikelihoodEntry
from evercast.artifacts.weights import read_tensors, write_tensors
from evercast.errors import IntegrityError, InvalidInput
from evercast.likelihood.model import (
    BinnedChannelModel,
    ChannelModel,
    EventSet,
    LikelihoodModel,
    UnbinnedChannelModel,
)
from evercast.spec.codec import from_json, to_json

__all__ = [
    "EVENTS_FILE",
    "LIKELIHOOD_FILE",
    "Dataset",
    "ExtraEvents",
    "read_likelihood",
    "read_origins",
    "write_likelihood",
]

LIKELIHOOD_FILE: Final = "likelihood.json"
EVENTS_FILE: Final = "events.safetensors"
_EVENTS_FORMAT: Final = "likelihood-events/1.0.0"
_LOOKED_AT: Final = 64 << 20
"""Bytes of a tensor that is looked at when it is opened; of a larger one a `Likelihood` looks at the rows it reads."""
_MORPHS: Final = ("log_up", "log_down", "coefficients")

Dataset = Literal["observed", "asimov"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExtraEvents:
    """What the file of an unbinned channel holds beyond the likelihood itself.

    Args:
        asimov_process: (events,), index of the component whose sample a simulated event is from.
        observables: (events, observables) of the data; None keeps them back.
    """

    asimov_process: Int[np.ndarray, " simulated"]
    observables: Float[np.ndarray, "events observables"] | None = None


def write_likelihood(folder: Path, model: LikelihoodModel, *, extra: Mapping[str, ExtraEvents] | None = None) -> None:
    """Write `model` as the two files in `folder`.

    Args:
        folder: an existing folder.
        model: with its observed data.
        extra: unbinned channel -> what is stored beside its events.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
        NumericalFailure: ``json.not-finite``.
    """
    tensors: dict[str, np.ndarray] = {}
    for channel in model.channels:
        if isinstance(channel, UnbinnedChannelModel):
            tensors |= _tensors(channel, (extra or {}).get(channel.name))
    write_tensors(folder / EVENTS_FILE, tensors, {"format": _EVENTS_FORMAT})
    atomic_write_json(folder / LIKELIHOOD_FILE, to_json(to_entry(model)))


def read_likelihood(folder: Path, *, dataset: Dataset = "observed") -> LikelihoodModel:
    """Return the likelihood in `folder`, with the observed or the Asimov data.

    Where a ``manifest.json`` stands beside the two files their digests are compared with it. Asimov data of a binned
    channel are a matter of the fit (`evercast.inference`); here only the events of unbinned channels are exchanged.

    Raises:
        IntegrityError: a file is missing or damaged, a digest differs, a tensor has another shape than declared.
        InvalidInput: ``format.unknown-version``; ``validity.missing``, a published bundle does not say where it may be
            used; ``likelihood.no-asimov``, Asimov data are asked of a channel without simulated events.
    """
    _check_digests(folder)
    body = _read_body(folder / LIKELIHOOD_FILE)
    tensors = read_tensors(folder / EVENTS_FILE).arrays
    model = from_entry(body, lambda *declared: _event_set(tensors, *declared, where=folder / EVENTS_FILE))
    return model if dataset == "observed" else _with_simulation(model)


def read_origins(folder: Path) -> dict[str, Int[np.ndarray, " simulated"]]:
    """Return unbinned channel -> index of the component whose sample each of its simulated events is from.

    Raises:
        IntegrityError: the file is missing or damaged.
    """
    found = read_tensors(folder / EVENTS_FILE).arrays
    last = ".asimov.process"
    return {name.removesuffix(last): values for name, values in found.items() if name.endswith(last)}


def _with_simulation(model: LikelihoodModel) -> LikelihoodModel:
    channels: list[ChannelModel] = []
    for channel in model.channels:
        if isinstance(channel, BinnedChannelModel) or channel.simulation is None:
            raise InvalidInput(
                f"channel {channel.name!r} has no simulated events to make Asimov data of",
                code="likelihood.no-asimov",
                hint="let the fit make Asimov data (--expected)",
            )
        simulation = channel.simulation
        channels.append(replace(channel, events=simulation))
    return replace(model, channels=tuple(channels), asimov="simulation")


def _check_digests(folder: Path) -> None:
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return
    body = read_json(manifest)
    said = body if isinstance(body, dict) else {}
    if "schema" in said:
        require_schema(said, BUNDLE_SCHEMA, where=manifest)
    require_validity(folder, said)
    files = said.get("files")
    for name in (LIKELIHOOD_FILE, EVENTS_FILE):
        entry = files.get(name) if isinstance(files, dict) else None
        expected = entry.get("sha256") if isinstance(entry, dict) else None
        found = sha256_file(folder / name)
        if found != expected:
            raise IntegrityError(
                f"{name} has sha256 {found}; the manifest says {expected}",
                code="likelihood.digest",
                where=str(folder / name),
                hint="get the bundle again from where it was published",
            )


def _read_body(path: Path) -> LikelihoodEntry:
    try:
        return from_json(LikelihoodEntry, read_json(path))
    except InvalidInput as err:
        raise IntegrityError(f"not a likelihood: {err.message}", code="likelihood.format", where=str(path)) from err


def _tensors(channel: UnbinnedChannelModel, extra: ExtraEvents | None) -> dict[str, np.ndarray]:
    name = channel.name
    tensors = _set_tensors(f"{name}.observed", channel.events)
    if channel.simulation is not None:
        tensors |= _set_tensors(f"{name}.asimov", channel.simulation)
    if channel.reference is not None:
        tensors |= _set_tensors(f"{name}.reference", channel.reference)
    if extra is not None:
        tensors[f"{name}.asimov.process"] = np.ascontiguousarray(extra.asimov_process, dtype=np.int32)
        if extra.observables is not None:
            tensors[f"{name}.observed.observables"] = np.ascontiguousarray(extra.observables, dtype=np.float64)
    return tensors


def _set_tensors(prefix: str, events: EventSet) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {f"{prefix}.weight": np.ascontiguousarray(events.weight, dtype=np.float64)}
    for name in ("log_ratio", *_MORPHS):
        values = getattr(events, name)
        if values is not None:
            tensors[f"{prefix}.{name}"] = np.ascontiguousarray(values, dtype=np.float32)
    return tensors


def _event_set(
    tensors: Mapping[str, NDArray[np.generic]], prefix: str, count: int, columns: Columns, *, where: Path
) -> EventSet:
    shapes: dict[str, tuple[int, ...]] = {"log_ratio": (count, columns.components), "weight": (count,)}
    if columns.anchors:
        shapes |= {"log_up": (count, columns.anchors), "log_down": (count, columns.anchors)}
    if columns.terms:
        shapes["coefficients"] = (count, columns.terms)
    found: dict[str, NDArray[np.generic]] = {}
    for name, shape in shapes.items():
        values = tensors.get(f"{prefix}.{name}")
        if values is None or values.shape != shape:
            there = "nothing" if values is None else str(values.shape)
            raise IntegrityError(
                f"the tensor '{prefix}.{name}' is not as declared: found {there}; expected {shape}",
                code="likelihood.format",
                where=str(where),
            )
        if values.nbytes < _LOOKED_AT and not np.isfinite(values).all():
            raise IntegrityError(
                f"a number in '{prefix}.{name}' is NaN or infinite", code="likelihood.format", where=str(where)
            )
        found[name] = values.astype(np.float64 if name == "weight" else np.float32, copy=False)
    return EventSet(
        log_ratio=found["log_ratio"],
        weight=found["weight"],
        log_up=found.get("log_up"),
        log_down=found.get("log_down"),
        coefficients=found.get("coefficients"),
    )
