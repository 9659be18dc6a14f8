"""Derived documents: an archived analysis with the sample of a requester in it.

What the archive computed keeps its keys: samples, selections and networks of the archived processes do not know of the
new one. What changes is what looks at all processes together: evaluations, likelihoods and what follows from them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from evercast.reinterpretation.neural.asked import coefficient_of, nominal_of, process_of, unbinned_ensembles
from evercast.reinterpretation.neural.frozen import FrozenNeural
from evercast.reinterpretation.requests.declared import generator_name
from evercast.reinterpretation.requests.model import NewPoint, Wanted
from evercast.spec.codec import to_json
from evercast.spec.model import Analysis, BinnedChannel, UnbinnedChannel

__all__ = ["Studies", "nominal_value", "process_change", "process_name", "sample_change"]

_SCAN_POINTS: Final = 21
_REPLICAS: Final = 20
_SEED: Final = 20260601
"""Of pseudo-experiments; each study derives its own from its name, value and likelihood."""
_TOYS_PER_JOB: Final = 200
_LEVELS: Final = (0.6827, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Studies:
    """Pseudo-experiments of a derived run.

    Args:
        injection: values that are put in.
        neyman: values of the Neyman construction; empty makes none.
        toys: at each value.
        confidence_level: of the Neyman construction.
    """

    injection: tuple[float, ...] = ()
    neyman: tuple[float, ...] = ()
    toys: int = 0
    confidence_level: float = 0.95

    def to_change(self, likelihood: str) -> dict[str, Any]:
        """Return the studies as a document declares them."""
        common = {"seed": _SEED, "toys": self.toys, "likelihoods": [likelihood]}
        common["toys_per_job"] = min(self.toys, _TOYS_PER_JOB)
        found: dict[str, Any] = {}
        if self.toys and self.injection:
            found["injection"] = {
                **common, "purpose": "injection", "nuisance": "nominal", "values": list(self.injection),
                "confidence_levels": list(_LEVELS),
            }  # fmt: skip
        if self.toys and self.neyman:
            found["neyman"] = {
                **common, "purpose": "neyman", "values": list(self.neyman),
                "confidence_levels": [self.confidence_level],
            }  # fmt: skip
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """Names that a document has already."""

    taken: frozenset[str] = field(default_factory=frozenset)

    def free(self, wanted: str) -> str:
        """Return the name, or the next one that is free."""
        stem = re.sub(r"[^A-Za-z0-9_]", "_", wanted)
        stem = (stem if stem[:1].isalpha() else f"signal_{stem}")[:60]
        found, count = stem, 1
        while found in self.taken:
            count += 1
            found = f"{stem}_{count}"
        return found


def process_name(analysis: Analysis, point: str) -> str:
    """Return the name of the process of a point: its own where nothing else has it."""
    taken = (*analysis.samples, *analysis.processes, *analysis.generators, *analysis.systematics, *analysis.parameters)
    return _Names(taken=frozenset(taken)).free(point)


def nominal_value(point: NewPoint) -> float:
    """Return the value of the new parameter at which expected results are: 1, or the largest one below it."""
    return nominal_of(process_of(point))


def sample_change(frozen: FrozenNeural, name: str) -> dict[str, Any]:
    """Return the change that adds the sample of a point, which no process uses."""
    signal = frozen.signals[name]
    change: dict[str, Any] = {"samples": {signal.sample: _stated(to_json(signal.body))}}
    if signal.generator is not None:
        change["generators"] = {generator_name(signal.generator): _stated(to_json(signal.generator))}
    return change


def _stated(value: Any) -> Any:
    """Return a JSON value as a document states it: without what is not given."""
    if isinstance(value, Mapping):
        return {key: _stated(part) for key, part in value.items() if part is not None and part != {}}
    return [_stated(part) for part in value] if isinstance(value, list) else value


def process_change(
    frozen: FrozenNeural, analysis: Analysis, name: str, point: NewPoint, wanted: Wanted, studies: Studies, *,
    channels: Collection[str],
) -> dict[str, Any]:  # fmt: skip
    """Return the change that makes a point a process with a parameter of interest of its own.

    The archived parameter of interest becomes a free one; studies, other likelihoods and what is published of them
    are left out.

    Args:
        frozen: the request.
        analysis: the archived document.
        name: of the point.
        point: what the request says of it.
        wanted: what is computed.
        studies: pseudo-experiments.
        channels: of the likelihood that is asked, in which the new process stands.
    """
    change = sample_change(frozen, name)
    new, stated, signal = process_name(analysis, name), process_of(point), frozen.signals[name]
    pois = [key for key, parameter in analysis.parameters.items() if parameter.poi]
    change["processes"] = {
        new: {"sample": signal.sample, "coefficient": coefficient_of(stated), "title": f"signal {name}"}
    }
    change["parameters"] = {
        **{key: {"poi": False} for key in pois},
        stated.parameter: {"poi": True, "initial": nominal_value(point), "bounds": list(stated.bounds)},
    }
    if signal.systematic:
        change["systematics"] = {
            f"signal_{new}": {
                "kind": "normalisation", "processes": [new], "up": 1.0 + signal.systematic,
                "down": max(1.0 - signal.systematic, 1e-3),
            }
        }  # fmt: skip
    change["ensembles"] = _ensembles(analysis, frozen.likelihood, new, wanted, channels)
    change["likelihoods"] = _likelihoods(analysis, frozen.likelihood, new, channels, blind=not wanted.observed)
    change["inference"] = _inference(analysis, wanted, studies, frozen.likelihood, stated.bounds)
    change["publish"] = _publish(analysis, frozen.likelihood)
    change["expected"] = None
    if analysis.pseudo_data is not None:
        change["pseudo_data"] = {"yields": {new: 0.0}}  # of the new process nothing is in the data
    return change


def _ensembles(
    analysis: Analysis, likelihood: str, new: str, wanted: Wanted, channels: Collection[str]
) -> dict[str, Any] | None:
    used = unbinned_ensembles(analysis, likelihood)
    if not used:
        return None
    found: dict[str, Any] = {name: None for name in analysis.ensembles if name not in used}
    for name in used:
        ensemble = analysis.ensembles[name]
        declared = analysis.likelihoods[likelihood].channels.items()
        own = {key: one for key, one in declared if isinstance(one, UnbinnedChannel) and one.ensemble == name}
        found[name] = {}
        if any(key in channels for key in own):
            found[name]["processes"] = [*ensemble.processes, new]
        if any(one.training_statistics > 0 for one in own.values()):
            continue
        if not wanted.training_statistics:
            found[name]["bootstrap"] = None
        elif ensemble.bootstrap is None and "processes" in found[name]:
            found[name]["bootstrap"] = {"replicas": _REPLICAS, "members": 1, "processes": [new]}
    return found


def _likelihoods(
    analysis: Analysis, likelihood: str, new: str, channels: Collection[str], *, blind: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {name: None for name in analysis.likelihoods if name != likelihood}
    changed: dict[str, Any] = {}
    for name, channel in analysis.likelihoods[likelihood].channels.items():
        body: dict[str, Any] = {"blind": True} if blind else {}
        if isinstance(channel, BinnedChannel) and name in channels:
            body["processes"] = [*channel.processes, new]
        changed[name] = body
    return {**found, likelihood: {"channels": changed}}


def _inference(
    analysis: Analysis, wanted: Wanted, studies: Studies, likelihood: str, bounds: Sequence[float]
) -> dict[str, Any]:
    old: dict[str, Any] = dict.fromkeys(analysis.inference.toys)
    body: dict[str, Any] = {
        "scan_points": _SCAN_POINTS, "scan_range": [float(bounds[0]), float(bounds[1])],
        "limit": wanted.confidence_level if wanted.limits else None, "impacts": False, "contours": None,
        "toys": {**old, **studies.to_change(likelihood)},
    }  # fmt: skip
    return body | ({} if wanted.observed else {"unblind": False})


def _publish(analysis: Analysis, likelihood: str) -> Mapping[str, Any]:
    published = analysis.publish.neural_likelihood
    kept = published is not None and published.likelihood == likelihood
    gone: dict[str, Any] = {"pyhf": None, "hepdata": None, "overrides": None}
    return gone if kept else {**gone, "neural_likelihood": None}
