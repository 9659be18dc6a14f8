"""A submitted request, frozen: copies of all it depends on, so that what is edited afterwards changes nothing.

``runs/RUN/``: ``request.json`` and ``request.yaml`` (canonical, and as written), ``analysis.json``,
``background.json``, ``patches/DIGEST.json``, ``points.json``; with events ``selection.json`` and, when they are
selected, ``selected.json``. RUN are the
first 12 digits of the sha256 of what is asked and of whom.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from evercast import __version__
from evercast.artifacts.files import (
    atomic_write_bytes,
    atomic_write_json,
    canonical_json,
    make_folder,
    read_json,
    sha256_file,
)
from evercast.errors import IntegrityError
from evercast.reinterpretation.requests.declared import DeclaredSignal
from evercast.reinterpretation.requests.model import SignalPoint, Wanted, point_key, request_to_json
from evercast.reinterpretation.requests.resolve import Resolved
from evercast.reinterpretation.requests.selected import SelectedSignal
from evercast.reinterpretation.wrapped.data import json_digest
from evercast.reinterpretation.wrapped.model import Regions, WrappedAnalysis, analysis_digest, analysis_to_json
from evercast.spec.codec import from_json, to_json

__all__ = [
    "SELECTED_FILE", "SELECTION_FILE", "FrozenPoint", "FrozenRequest", "SelectedPoint", "freeze", "read_frozen",
    "with_selected",
]  # fmt: skip

SELECTION_FILE: Final = "selection.json"
"""The preserved document of a request with events, in ``runs/RUN``."""
SELECTED_FILE: Final = "selected.json"
"""What the preserved selection made of them, likewise; it appears when all events are selected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedPoint:
    """What came of a signal of events: the digest of its patch, and what it was made of."""

    patch: str
    generated_events: int
    signal: SelectedSignal


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenPoint:
    """A signal of a submitted request.

    Of a signal of events that are yet to be selected `signal` says which, `digest` and `key` are those of the signal,
    and `events` is empty. `selected` says what came of it: then they are those of the patch and of its result.
    """

    name: str
    key: str
    digest: str
    origin: str
    values: tuple[float, ...] = ()
    cross_section_pb: float | None = None
    generated_events: int | None = None
    events: Mapping[str, tuple[float, ...]]
    signal: DeclaredSignal | None = None
    selected: SelectedSignal | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether its events are yet to be selected."""
        return self.signal is not None and self.selected is None

    @property
    def is_empty(self) -> bool:
        """Whether no signal event is expected anywhere."""
        return not any(any(bins) for bins in self.events.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenRequest:
    """What was submitted.

    Args:
        root: folder of the request.
        run: identity, 64 digits.
        request: canonical form.
        analysis: that is asked.
        likelihood: name of its set of regions.
        wanted: of each signal.
        points: in the order of the request.
    """

    root: Path
    run: str
    request: Mapping[str, Any]
    analysis: WrappedAnalysis
    likelihood: str
    wanted: Wanted
    points: tuple[FrozenPoint, ...]

    @property
    def folder(self) -> Path:
        """Where the copies lie."""
        return self.root / "runs" / self.run[:12]

    @property
    def response(self) -> Path:
        """Where the response is written."""
        return self.root / "responses" / self.run[:12]

    def result(self, key: str) -> Path:
        """Return where the result of a point is; those of all runs lie together, so that none is computed twice."""
        return self.root / "points" / f"{key}.json"

    def background(self) -> Mapping[str, object]:
        """Return the workspace without signal, its digest checked.

        Raises:
            IntegrityError: ``request.frozen``.
        """
        body = self._checked("background.json", self.analysis.likelihoods[self.likelihood].background.sha256)
        if not isinstance(body, dict):
            raise IntegrityError("the background is no object", code="request.frozen", where=str(self.folder))
        return body

    def patch(self, point: FrozenPoint) -> Sequence[object]:
        """Return the JSON patch of a point, its digest checked.

        Raises:
            IntegrityError: ``request.frozen``.
        """
        body = self._checked(f"patches/{point.digest}.json", point.digest)
        if not isinstance(body, list):
            raise IntegrityError("the patch is no list", code="request.frozen", where=str(self.folder))
        return body

    def _checked(self, name: str, digest: str) -> object:
        body = read_json(self.folder / name)
        found = json_digest(body)
        if found != digest:
            message = f"the content has the digest {found}; {digest} was submitted"
            raise IntegrityError(message, code="request.frozen", where=str(self.folder / name))
        return body


def freeze(resolved: Resolved, *, root: Path, document: Path) -> FrozenRequest:
    """Copy a request and all it depends on, and return the copy; one that is there already is used as it is.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    wanted = resolved.request.wanted
    points = tuple(_frozen_point(resolved, point) for point in resolved.points)
    body = request_to_json(resolved.request)
    run = _run_identity(body, resolved.digest, points)
    frozen = FrozenRequest(
        root=root, run=run, request=body, analysis=resolved.analysis, likelihood=resolved.likelihood,
        wanted=wanted, points=points,
    )  # fmt: skip
    make_folder(frozen.folder / "patches")
    for point in resolved.points:
        if point.signal is None:
            atomic_write_json(frozen.folder / "patches" / f"{point.digest}.json", point.patch)
    if resolved.selection is not None:
        _keep_events(resolved, root, frozen.folder)
    atomic_write_json(frozen.folder / "background.json", resolved.background)
    atomic_write_json(frozen.folder / "analysis.json", analysis_to_json(resolved.analysis))
    atomic_write_bytes(frozen.folder / "request.yaml", document.read_bytes())
    atomic_write_json(frozen.folder / "request.json", body)
    listed = [to_json(point) for point in points]
    atomic_write_json(
        frozen.folder / "points.json",
        {"schema": "points/1.0.0", "run": run, "likelihood": resolved.likelihood, "points": listed},
    )
    return frozen


def _keep_events(resolved: Resolved, root: Path, folder: Path) -> None:
    """Keep the files of the signals and the preserved document; in the shared work nothing is run yet."""
    from evercast.reinterpretation.requests.derived import work_of  # noqa: PLC0415 - heavy, for events alone
    from evercast.reinterpretation.requests.kept import keep_inputs  # noqa: PLC0415 - likewise
    from evercast.spec import analysis_to_json  # noqa: PLC0415 - likewise

    assert resolved.selection is not None  # noqa: S101 - it was asked before
    keep_inputs(root, work_of(root), [point.signal for point in resolved.points if point.signal is not None])
    atomic_write_json(folder / SELECTION_FILE, analysis_to_json(resolved.selection))


def _run_identity(body: Mapping[str, object], digest: str, points: Sequence[FrozenPoint]) -> str:
    content = {
        "request": body, "analysis": digest, "evercast": __version__,
        "points": [[point.name, point.key] for point in points],
    }  # fmt: skip
    return hashlib.sha256(canonical_json(content)).hexdigest()


def _frozen_point(resolved: Resolved, point: SignalPoint) -> FrozenPoint:
    return FrozenPoint(
        name=point.name, key=key_of_patch(resolved.regions, point.digest, resolved.request.wanted),
        digest=point.digest, origin=point.origin, values=point.values,
        cross_section_pb=point.cross_section_pb, generated_events=point.generated_events, events=point.events,
        signal=point.signal,
    )  # fmt: skip


def key_of_patch(regions: Regions, digest: str, wanted: Wanted) -> str:
    """Return the key of the result of a patch.

    Args:
        regions: whose background it patches.
        digest: of the patch, or of the signal that it will be made of.
        wanted: of it.
    """
    return point_key(
        background=regions.background.sha256, patch=digest, poi=regions.poi, measurement=regions.measurement,
        wanted=wanted, version=__version__,
    )  # fmt: skip


def read_frozen(root: Path, run: str) -> FrozenRequest:
    """Return a submitted request.

    Args:
        root: folder of the request.
        run: identity, or its first 12 digits.

    Raises:
        IntegrityError: ``request.frozen``: a copy is missing or was changed.
    """
    folder = root / "runs" / run[:12]
    listed, request = read_json(folder / "points.json"), read_json(folder / "request.json")
    analysis = read_json(folder / "analysis.json")
    if not isinstance(listed, dict) or not isinstance(request, dict) or not isinstance(analysis, dict):
        raise IntegrityError("the copies of the request are damaged", code="request.frozen", where=str(folder))
    wrapped = from_json(WrappedAnalysis, {key: part for key, part in analysis.items() if key != "schema"})
    points = tuple(from_json(FrozenPoint, entry) for entry in listed["points"])
    if _run_identity(request, analysis_digest(wrapped), points) != listed["run"] or not listed["run"].startswith(run):
        message = "the copies of the request are not those that were submitted with this evercast"
        raise IntegrityError(message, code="request.frozen", where=str(folder), hint="submit the request again")
    frozen = FrozenRequest(
        root=root, run=listed["run"], request=request, analysis=wrapped, likelihood=str(listed["likelihood"]),
        wanted=from_json(Wanted, request["wanted"]), points=points,
    )  # fmt: skip
    return with_selected(frozen, read_selected(frozen))


def read_selected(frozen: FrozenRequest) -> dict[str, SelectedPoint]:
    """Return name -> what was selected of the points that bring events; empty before that was done.

    Raises:
        IntegrityError: ``request.frozen``: the file belongs to another run, or is damaged.
    """
    path = frozen.folder / SELECTED_FILE
    if not path.exists():
        return {}
    body = read_json(path)
    if not isinstance(body, dict) or body.get("run") != frozen.run or not isinstance(body.get("points"), dict):
        raise IntegrityError("the selected events are not of this run", code="request.frozen", where=str(path))
    return {name: from_json(SelectedPoint, entry) for name, entry in body["points"].items()}


def with_selected(frozen: FrozenRequest, found: Mapping[str, SelectedPoint]) -> FrozenRequest:
    """Return the request with the patches of the points whose events were selected."""
    regions = frozen.analysis.likelihoods[frozen.likelihood]

    def completed(point: FrozenPoint) -> FrozenPoint:
        entry = found.get(point.name)
        if entry is None or point.signal is None:
            return point
        return replace(
            point, digest=entry.patch, key=key_of_patch(regions, entry.patch, frozen.wanted), selected=entry.signal,
            generated_events=entry.generated_events,
            events={name: bins.events for name, bins in entry.signal.bins.items() if name in regions.channels},
        )  # fmt: skip

    return replace(frozen, points=tuple(completed(point) for point in frozen.points))


def digests_of(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return name -> sha256 of files in a folder."""
    return {name: sha256_file(folder / name) for name in names}
