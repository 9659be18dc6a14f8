"""Events of a submitted request selected: the derived run, and from it the patch of every point that brings events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evercast.artifacts.files import atomic_write_json, read_json
from evercast.errors import EvercastError, IntegrityError
from evercast.likelihood.histfactory import apply_patch
from evercast.reinterpretation.requests.derived import DerivedRun, Watch, derived_run, run_derived, work_of
from evercast.reinterpretation.requests.frozen import (
    SELECTED_FILE,
    SELECTION_FILE,
    FrozenPoint,
    FrozenRequest,
    SelectedPoint,
    with_selected,
)
from evercast.reinterpretation.requests.kept import check_inputs
from evercast.reinterpretation.requests.resolve import refuse_negative
from evercast.reinterpretation.requests.selecting import selected_signal, yields_of
from evercast.reinterpretation.requests.signals import patch_of_yields
from evercast.reinterpretation.wrapped.data import json_digest
from evercast.reinterpretation.wrapped.model import PreservedSelection
from evercast.spec import analysis_from_json
from evercast.spec.codec import to_json

__all__ = ["complete"]

_BEFORE = "before.json"


def complete(frozen: FrozenRequest, *, cores: int, profile: str, watch: Watch | None) -> FrozenRequest:
    """Return a request all of whose points have a patch; events that are not selected yet are selected now.

    Args:
        frozen: as it was submitted.
        cores: of this machine, at a time.
        profile: of Snakemake.
        watch: makes what is told how the run goes on.

    Raises:
        IntegrityError: ``request.frozen``: a file of events, or a copy, was changed.
        InvalidInput: ``request.negative-bin``, or what is wrong with the events.
        EvercastError: the first error of a unit.
    """
    signals = [point.signal for point in frozen.points if point.signal is not None]
    if not any(point.is_waiting for point in frozen.points):
        return frozen
    check_inputs(work_of(frozen.root), signals)
    body = read_json(frozen.folder / SELECTION_FILE)
    if not isinstance(body, dict):
        raise IntegrityError("the preserved document is damaged", code="request.frozen", where=str(frozen.folder))
    run = derived_run(frozen.root, analysis_from_json(body), signals)
    run = replace(run, finished=_finished_before(frozen, run))
    run_derived(run, profile=profile, cores=cores, watch=watch)
    background = frozen.background()
    found = {
        point.name: _selected(frozen, point, run, background) for point in frozen.points if point.signal is not None
    }
    listed = {name: to_json(entry) for name, entry in found.items()}
    atomic_write_json(frozen.folder / SELECTED_FILE, {"schema": "selected/1.0.0", "run": frozen.run, "points": listed})
    return with_selected(frozen, found)


def _finished_before(frozen: FrozenRequest, run: DerivedRun) -> frozenset[str]:
    """Return the units that were there before this submission first ran: a run that goes on made the others itself."""
    path = frozen.folder / _BEFORE
    if not path.exists():
        atomic_write_json(path, {"units": sorted(run.finished)})
        return run.finished
    body = read_json(path)
    units = body.get("units") if isinstance(body, dict) else None
    return frozenset(str(unit) for unit in units) if isinstance(units, list) else run.finished


def _selected(
    frozen: FrozenRequest, point: FrozenPoint, run: DerivedRun, background: Mapping[str, object]
) -> SelectedPoint:
    where = f"$.signal.points.{point.name}"
    signal, analysis = point.signal, frozen.analysis
    assert signal is not None  # noqa: S101 - only such points are asked
    regions = analysis.likelihoods[frozen.likelihood]
    try:
        found = selected_signal(
            run, signal, _of_likelihood(frozen), luminosity_fb=analysis.metadata.luminosity_fb
        )  # fmt: skip
        yields = yields_of(found, systematic=signal.systematic)
        refuse_negative({name: bins.events for name, bins in found.bins.items()}, where=where)
        patch = patch_of_yields(background, yields, poi=regions.poi, where=where, validation=regions.validation or ())
        apply_patch(background, patch)
    except EvercastError as err:
        err.where = where if err.where is None or err.where.startswith("$") else f"{where}: {err.where}"
        raise
    digest = json_digest(patch)
    atomic_write_json(frozen.folder / "patches" / f"{digest}.json", patch)
    return SelectedPoint(patch=digest, generated_events=yields.generated_events or 1, signal=found)


def _of_likelihood(frozen: FrozenRequest) -> PreservedSelection:
    """Return the selection with the fitted channels of the likelihood that is asked."""
    selection = frozen.analysis.selection
    assert selection is not None  # noqa: S101 - the request has events
    known = frozen.analysis.likelihoods[frozen.likelihood].fitted
    return replace(selection, channels={name: part for name, part in selection.channels.items() if name in known})
