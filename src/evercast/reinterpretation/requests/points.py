"""The result of one signal point: CLs, limits, or why there is no number; a function of the point and nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from evercast.artifacts.files import atomic_write_json, make_folder, read_json
from evercast.errors import EvercastError, IntegrityError, InvalidInput, NumericalFailure
from evercast.inference.asymptotics import cls, guards_to_json
from evercast.inference.limits import upper_limit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import KnownSample, apply_patch, read_workspace
from evercast.likelihood.workspace_text import entries_of
from evercast.reinterpretation.requests.frozen import FrozenPoint, FrozenRequest

__all__ = ["compute_points", "has_result", "read_result"]

_SCHEMA = "point/1.0.0"


def compute_points(frozen: FrozenRequest, keys: Sequence[str]) -> None:
    """Compute points of a request and write the result of each when it is there.

    A point that fails leaves its reason as its result, and the others go on.

    Args:
        frozen: the request.
        keys: of the points.

    Raises:
        IntegrityError: the copies of the request are damaged.
        InvalidInput: ``request.point``: the request has no such point.
        EnvironmentUnfit: the disk refuses.
    """
    points = {point.key: point for point in frozen.points}
    unknown = [key for key in keys if key not in points]
    if unknown:
        raise InvalidInput(f"the request has no point with the key {unknown[0]!a}", code="request.point")
    background = frozen.background()
    known: dict[int, KnownSample | None] = {
        id(sample): None
        for channel in entries_of(background, "channels", "$")
        for sample in entries_of(channel, "samples", "$.channels")
    }
    make_folder(frozen.root / "points")
    for key in keys:
        started = time.monotonic()
        body = _result(frozen, points[key], background, known)
        atomic_write_json(
            frozen.result(key), {"schema": _SCHEMA, "key": key, **body, "seconds": time.monotonic() - started}
        )


def _result(
    frozen: FrozenRequest,
    point: FrozenPoint,
    background: Mapping[str, object],
    known: dict[int, KnownSample | None],
) -> dict[str, object]:
    wanted, regions = frozen.wanted, frozen.analysis.likelihoods[frozen.likelihood]
    nothing: dict[str, object] = {
        "status": "failed", "cls": None, "limit": None, "guard": None, "remarks": [], "failure": None
    }  # fmt: skip
    if point.is_empty:
        return {**nothing, "status": "no-events"}
    try:
        model = read_workspace(
            apply_patch(background, frozen.patch(point)), measurement=regions.measurement, name=point.name, known=known
        )
        likelihood = Likelihood(model)
        tested = cls(likelihood, wanted.mu, poi=regions.poi, observed=wanted.observed)
        limit = (
            upper_limit(likelihood, poi=regions.poi, confidence_level=wanted.confidence_level, observed=wanted.observed)
            if wanted.limits
            else None
        )
    except (InvalidInput, NumericalFailure) as err:
        return {**nothing, "failure": {"code": err.code, "message": str(err)}}
    fits = (*tested.fits, *(() if limit is None else limit.fits))
    remarks = dict.fromkeys((*tested.remarks, *(() if limit is None else limit.remarks)))
    at_bound = "at-bound" in {tested.status, None if limit is None else limit.status}
    return {
        "status": "at-bound" if at_bound else "ok",
        "cls": {
            "mu": wanted.mu, "observed": tested.cls_obs, "expected": list(tested.cls_exp), "mu_hat": tested.poi_hat,
        },
        "limit": None if limit is None else {"observed": limit.observed, "expected": list(limit.expected)},
        "guard": guards_to_json(fits),
        "remarks": list(remarks),
        "failure": None,
    }  # fmt: skip


def read_result(frozen: FrozenRequest, point: FrozenPoint) -> Mapping[str, object]:
    """Return the result of a point.

    Raises:
        IntegrityError: ``request.result``: it is missing or another one.
    """
    path = frozen.result(point.key)
    body = read_json(path)
    if not isinstance(body, dict) or body.get("schema") != _SCHEMA or body.get("key") != point.key:
        raise IntegrityError("the file is not the result of this point", code="request.result", where=str(path))
    return body


def has_result(frozen: FrozenRequest, point: FrozenPoint) -> bool:
    """Return whether the result of a point is there; one that cannot be read counts as missing."""
    try:
        read_result(frozen, point)
    except EvercastError:
        return False
    return True
