"""The file form of a likelihood: ``likelihood.json`` (everything but the events) and ``events.safetensors``.

Tensors of an unbinned channel C, rows = events, columns = components in the order of ``likelihood.json``::

    C.observed.log_ratio    float32 (events, components)   natural log of p_component(x) / p_reference(x) of the data
    C.observed.weight       float64 (events,)              1 for data
    C.observed.observables  float64 (events, observables)  only with disclosure ``events``
    C.asimov.log_ratio      float32                        the same of simulated events, each evaluated out of fold
    C.asimov.weight         float64                        expected events at the initial values of the parameters
    C.asimov.process        int32 (events,)                the component whose sample the event is from
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from evercast.artifacts.files import atomic_write_json, read_json, sha256_file
from evercast.artifacts.likelihood_entry import LikelihoodEntry, from_entry, to_entry
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

__all__ = ["EVENTS_FILE", "LIKELIHOOD_FILE", "Dataset", "ExtraEvents", "read_likelihood", "write_likelihood"]

LIKELIHOOD_FILE: Final = "likelihood.json"
EVENTS_FILE: Final = "events.safetensors"
_EVENTS_FORMAT: Final = "likelihood-events/1.0.0"

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
        InvalidInput: ``likelihood.no-asimov``, Asimov data are asked of a channel without simulated events.
    """
    _check_digests(folder)
    body = _read_body(folder / LIKELIHOOD_FILE)
    tensors = read_tensors(folder / EVENTS_FILE).arrays
    model = from_entry(body, lambda prefix, shape: _event_set(tensors, prefix, shape, where=folder / EVENTS_FILE))
    return model if dataset == "observed" else _with_simulation(model)


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
    files = body.get("files") if isinstance(body, dict) else None
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
    tensors: dict[str, np.ndarray] = {
        f"{name}.observed.log_ratio": np.ascontiguousarray(channel.events.log_ratio, dtype=np.float32),
        f"{name}.observed.weight": np.ascontiguousarray(channel.events.weight, dtype=np.float64),
    }
    if channel.simulation is not None:
        tensors[f"{name}.asimov.log_ratio"] = np.ascontiguousarray(channel.simulation.log_ratio, dtype=np.float32)
        tensors[f"{name}.asimov.weight"] = np.ascontiguousarray(channel.simulation.weight, dtype=np.float64)
    if extra is not None:
        tensors[f"{name}.asimov.process"] = np.ascontiguousarray(extra.asimov_process, dtype=np.int32)
        if extra.observables is not None:
            tensors[f"{name}.observed.observables"] = np.ascontiguousarray(extra.observables, dtype=np.float64)
    return tensors


def _event_set(
    tensors: Mapping[str, NDArray[np.generic]], prefix: str, shape: tuple[int, int], *, where: Path
) -> EventSet:
    log_ratio, weight = tensors.get(f"{prefix}.log_ratio"), tensors.get(f"{prefix}.weight")
    if log_ratio is None or weight is None or log_ratio.shape != shape or weight.shape != shape[:1]:
        found = "nothing" if log_ratio is None else str(log_ratio.shape)
        raise IntegrityError(
            f"the tensors of {prefix!r} are not as declared: found {found}; expected {shape}",
            code="likelihood.format",
            where=str(where),
        )
    if not (np.isfinite(log_ratio).all() and np.isfinite(weight).all()):
        raise IntegrityError(
            f"a log ratio or a weight of {prefix!r} is NaN or infinite", code="likelihood.format", where=str(where)
        )
    return EventSet(log_ratio=log_ratio.astype(np.float32, copy=False), weight=weight.astype(np.float64, copy=False))
