"""Derived documents: an archived analysis with the sample of a requester in it.

What the archive computed keeps its keys: samples, selections and networks of the archived processes do not know of the
new one. What changes is what looks at all processes together: evaluations, likelihoods and what follows from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from evercast.errors import InvalidInput
from evercast.reinterpretation.neural.files import copied_file
from evercast.reinterpretation.neural.frozen import FrozenNeural
from evercast.reinterpretation.neural.resolve import coefficient_of, process_of, unbinned_ensembles
from evercast.reinterpretation.requests.model import NewPoint, Wanted
from evercast.spec.codec import to_json
from evercast.spec.model import Analysis, BinnedChannel, UnbinnedChannel

__all__ = ["Studies", "nominal_value", "process_change", "sample_change", "sample_name"]

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


def sample_name(analysis: Analysis, point: str) -> str:
    """Return the name of the sample, and of the process, of a point: its own where nothing else has it."""
    taken = (*analysis.samples, *analysis.processes, *analysis.generators, *analysis.systematics, *analysis.parameters)
    return _Names(taken=frozenset(taken)).free(point)


def nominal_value(point: NewPoint) -> float:
    """Return the value of the new parameter at which expected results are: 1, or the largest one below it."""
    return min(1.0, process_of(point).bounds[1])


def sample_change(frozen: FrozenNeural, analysis: Analysis, name: str, point: NewPoint) -> dict[str, Any]:
    """Return the change that adds the sample of a point, which no process uses.

    Raises:
        IntegrityError: a file is not the one that is stated.
    """
    sample = sample_name(analysis, name)
    change: dict[str, Any] = {}
    weight: str | None = None
    if point.generate is not None:
        card = {key: part for key, part in to_json(point.generate).items() if key not in {"systematic", "slha"}}
        if point.generate.slha is not None:
            slha = copied_file(frozen.root, point.generate.slha, frozen.signals, where=f"$.signal.points.{name}")
            card["slha"] = {"path": f"signals/{slha}", "sha256": point.generate.slha.sha256}
        change["generators"] = {sample: card}
        files: list[dict[str, Any]] = [{"generator": sample}]
    elif point.events is not None:
        files = [_file(frozen, name, file) for file in point.events.files]
        weight = (point.events.weight or "weight") if point.events.weights not in {None, "unit"} else None
    else:
        message = "the point has neither events nor a card"
        raise InvalidInput(message, code="request.signal-form", where=f"$.signal.points.{name}")
    stated = point.cross_section
    if stated is None:
        message = "the cross-section to which the events are normalised is missing"
        raise InvalidInput(message, code="request.no-cross-section", where=f"$.signal.points.{name}")
    body: dict[str, Any] = {
        "title": f"signal {name}",
        "files": files,
        "normalisation": {
            "cross_section_pb": stated.value_pb * stated.filter_efficiency, "k_factor": stated.k_factor,
        },
    }  # fmt: skip
    if weight is not None:
        body["weight"] = weight
    change["samples"] = {sample: body}
    return change


def _file(frozen: FrozenNeural, name: str, file: Any) -> dict[str, Any]:
    copy = copied_file(frozen.root, file, frozen.signals, where=f"$.signal.points.{name}")
    body: dict[str, Any] = {"path": f"signals/{copy}", "sha256": file.sha256, "format": file.format}
    if file.tree is not None:
        body["tree"] = file.tree
    if file.collections:
        body["collections"] = to_json(file.collections)
    return body


def process_change(
    frozen: FrozenNeural, analysis: Analysis, name: str, point: NewPoint, wanted: Wanted, studies: Studies
) -> dict[str, Any]:
    """Return the change that makes a point a process with a parameter of interest of its own.

    The archived parameter of interest becomes a free one; studies, other likelihoods and what is published of them
    are left out; the new process stands in every channel of the likelihood that is asked.
    """
    change = sample_change(frozen, analysis, name, point)
    new, stated = sample_name(analysis, name), process_of(point)
    pois = [key for key, parameter in analysis.parameters.items() if parameter.poi]
    change["processes"] = {new: {"sample": new, "coefficient": coefficient_of(stated), "title": f"signal {name}"}}
    change["parameters"] = {
        **{key: {"poi": False} for key in pois},
        stated.parameter: {"poi": True, "initial": nominal_value(point), "bounds": list(stated.bounds)},
    }
    systematic = _systematic(point)
    if systematic:
        change["systematics"] = {
            f"signal_{new}": {
                "kind": "normalisation", "processes": [new], "up": 1.0 + systematic,
                "down": max(1.0 - systematic, 1e-3),
            }
        }  # fmt: skip
    change["ensembles"] = _ensembles(analysis, frozen.likelihood, new, wanted)
    change["likelihoods"] = _likelihoods(analysis, frozen.likelihood, new, blind=not wanted.observed)
    change["inference"] = _inference(analysis, wanted, studies, frozen.likelihood, stated.bounds)
    change["publish"] = _publish(analysis, frozen.likelihood)
    change["expected"] = None
    if analysis.pseudo_data is not None:
        change["pseudo_data"] = {"yields": {new: 0.0}}  # of the new process nothing is in the data
    return change


def _systematic(point: NewPoint) -> float:
    part = point.events if point.events is not None else point.generate
    return 0.0 if part is None else part.systematic


def _ensembles(analysis: Analysis, likelihood: str, new: str, wanted: Wanted) -> dict[str, Any] | None:
    used = unbinned_ensembles(analysis, likelihood)
    if not used:
        return None
    channels = analysis.likelihoods[likelihood].channels.values()
    found: dict[str, Any] = {name: None for name in analysis.ensembles if name not in used}
    for name in used:
        ensemble = analysis.ensembles[name]
        found[name] = {"processes": [*ensemble.processes, new]}
        modes = any(
            isinstance(one, UnbinnedChannel) and one.ensemble == name and one.training_statistics > 0
            for one in channels
        )
        if modes:
            continue
        if not wanted.training_statistics:
            found[name]["bootstrap"] = None
        elif ensemble.bootstrap is None:
            found[name]["bootstrap"] = {"replicas": _REPLICAS, "members": 1, "processes": [new]}
    return found


def _likelihoods(analysis: Analysis, likelihood: str, new: str, *, blind: bool) -> dict[str, Any]:
    found: dict[str, Any] = {name: None for name in analysis.likelihoods if name != likelihood}
    channels: dict[str, Any] = {}
    for name, channel in analysis.likelihoods[likelihood].channels.items():
        body: dict[str, Any] = {"blind": True} if blind else {}
        if isinstance(channel, BinnedChannel):
            body["processes"] = [*channel.processes, new]
        channels[name] = body
    return {**found, likelihood: {"channels": channels}}


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
