"""Whether the projection in a bundle is the one of its likelihood: made again from the events, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from evercast.artifacts.bundle_open import Bundle
from evercast.artifacts.files import read_json
from evercast.errors import EvercastError, IntegrityError
from evercast.inference.binned_comparison import Discriminant
from evercast.likelihood.model import LikelihoodModel, UnbinnedChannelModel
from evercast.publication.findings import Finding
from evercast.publication.projection import project_into
from evercast.publication.pyhf_checks import require_sound_workspace, workspace_digest
from evercast.publication.pyhf_workspace import Export, workspace_of

__all__ = ["check_projection", "check_workspace"]

_RELATIVE: Final = 1e-6
_ABSOLUTE: Final = 1e-9
_ROUNDING: Final = 1e-5
"""How far the observable of an event may lie off on another machine: events that close to an edge may change bins."""

Edges = Mapping[str, Float64[np.ndarray, " edges"]]


def check_workspace(bundle: Bundle) -> Iterator[Finding]:
    """Yield that the workspace of the run is sound and the one that the manifest names.

    Raises:
        IntegrityError: ``bundle.workspace``.
        InvalidInput: ``publication.workspace``.
    """
    said = bundle.manifest["publication"].get("workspace", {})
    name = said.get("file")
    if name is None:
        return
    found, wanted = bundle.files.get(name), bundle.manifest["workspace_sha256"]
    body: Any = read_json(bundle.folder / name) if found is not None else None
    if found is None or found != wanted or workspace_digest(body) != said.get("pyhf_digest"):
        raise IntegrityError(
            f"{name} is not the workspace of the run: it has sha256 {found}; the manifest says {wanted}",
            code="bundle.workspace",
            where=str(bundle.folder),
        )
    require_sound_workspace(body, where=name)
    yield Finding(name=name, detail="the workspace that the manifest names; pyhf reads it")


def check_projection(bundle: Bundle, model: LikelihoodModel) -> Iterator[Finding]:
    """Yield that the projection is the one of the likelihood, in the bins that the manifest says.

    Raises:
        IntegrityError: ``bundle.projection``.
        InvalidInput: ``publication.workspace``.
    """
    said = bundle.manifest["publication"].get("projection", {})
    if not said.get("made"):
        return
    name = said.get("file")
    if name not in bundle.files:
        raise _other("the manifest says that there is a projection, and there is none", bundle)
    given: Any = read_json(bundle.folder / name)
    require_sound_workspace(given, where=name)
    discriminant, edges = _asked(said, model, bundle)
    try:
        made = [
            _export(model, discriminant, _moved(edges, by), bundle) for by in (0.0, -_ROUNDING, _ROUNDING)
        ]  # what lies on an edge may fall on either side of it
    except EvercastError as err:
        raise _other(f"it cannot be made again: {err.message}", bundle) from err
    shapes = [one.workspace for one in made]
    compared = _Comparison(bundle=bundle)
    compared.values(name, given, shapes[0], shapes[1], shapes[2])
    file = said.get("parametrisation")
    if (made[0].parametrisation is None) != (file is None) or (
        file is not None and (file not in bundle.files or read_json(bundle.folder / file) != made[0].parametrisation)
    ):
        raise _other("the formulas of its factors are not those of the likelihood", bundle)
    bins = sum(len(one) + 1 for one in edges.values())
    detail = f"templates and observed counts in {bins} bins made again from events.safetensors are those given"
    yield Finding(name=name, detail=detail, worst=compared.worst)


def _asked(said: Mapping[str, Any], model: LikelihoodModel, bundle: Bundle) -> tuple[Discriminant, Edges]:
    """Return observable and edges that the manifest states, where they fit the likelihood."""
    observable, channels = said.get("observable", {}), said.get("channels", {})
    poi, low, high = model.poi, observable.get("low"), observable.get("high")
    unbinned = {channel.name for channel in model.channels if isinstance(channel, UnbinnedChannelModel)}
    if poi is None or observable.get("parameter") != poi.name or low is None or high is None or not low < high:
        raise _other("the manifest names no two values of the parameter of interest", bundle)
    edges = {name: np.asarray(entry["inner_edges"], dtype=np.float64) for name, entry in channels.items()}
    if edges.keys() != unbinned or any(np.any(np.diff(one) <= 0) for one in edges.values()):
        raise _other("the manifest names no bins of each unbinned channel", bundle)
    return Discriminant(poi=poi.name, low=low, high=high), edges


def _export(model: LikelihoodModel, discriminant: Discriminant, edges: Edges, bundle: Bundle) -> Export:
    return workspace_of(project_into(model, discriminant, edges), measurement=str(bundle.manifest["analysis"]))


def _moved(edges: Edges, by: float) -> Edges:
    return {name: one + by * (1.0 + np.abs(one)) for name, one in edges.items()}


@dataclass(kw_only=True)
class _Comparison:
    """Compares two JSON values number by number.

    Args:
        bundle: for messages.
        worst: largest difference in tolerances so far.
    """

    bundle: Bundle
    worst: float = 0.0

    def values(self, where: str, given: Any, made: Any, below: Any, above: Any) -> None:
        """Compare a value with the one made again, and with those made with edges a rounding below and above."""
        if isinstance(made, Mapping) and isinstance(given, Mapping) and given.keys() == made.keys():
            for key in made:
                self.values(f"{where}: {key}", given[key], made[key], below[key], above[key])
        elif _numbers(made) and _numbers(given) and len(given) == len(made):
            self._numbers(where, *(np.asarray(one, dtype=np.float64) for one in (given, made, below, above)))
        elif isinstance(made, list) and isinstance(given, list) and len(given) == len(made):
            for number, one in enumerate(made):
                label = one.get("name", number) if isinstance(one, Mapping) else number
                self.values(f"{where} {label}", given[number], one, below[number], above[number])
        elif _numbers([made]) and _numbers([given]):
            self.values(where, [given], [made], [below], [above])
        elif given != made or isinstance(given, bool) != isinstance(made, bool):
            raise _other(f"{where}: it says {str(given)[:80]}; the likelihood gives {str(made)[:80]}", self.bundle)

    def _numbers(self, where: str, given: Any, made: Any, below: Any, above: Any) -> None:
        change = np.abs(np.cumsum(above - below))
        allowed = _ABSOLUTE + _RELATIVE * np.abs(made) + change + np.concatenate([[0.0], change[:-1]])
        excess = np.abs(given - made) / allowed
        worst = float(np.max(excess, initial=0.0))
        if not worst <= 1.0:
            at = int(np.argmax(~(excess <= 1.0)))
            raise _other(f"{where} [{at}]: it says {given[at]:.9g}; the likelihood gives {made[at]:.9g}", self.bundle)
        self.worst = max(self.worst, worst)


def _numbers(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
    )


def _other(message: str, bundle: Bundle) -> IntegrityError:
    return IntegrityError(
        f"the projection is not that of the likelihood: {message}",
        code="bundle.projection",
        where=str(bundle.folder),
        hint="use likelihood.json and events.safetensors, or get the bundle again from where it was published",
    )
