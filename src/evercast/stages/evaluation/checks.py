"""Checks of learned log ratios, as they stand in ``diagnostics.json``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from evercast.artifacts.event_table import EventTable
from evercast.errors import NumericalFailure
from evercast.networks.calibration import Normalisation
from evercast.networks.dataset import effective_sample_size
from evercast.networks.diagnostics import (
    Sides,
    area_under_curve,
    calibration_curve,
    closure,
    reweighted_sample_size,
    saturated_fraction,
)
from evercast.networks.evaluation import SATURATED, Combined

__all__ = ["closures", "normalisation_json", "saturated_networks", "side_checks"]

_log = logging.getLogger(__name__)
_SATURATED_SHARE = 0.001
"""A network is named where its score is 0 or 1 at more than this share of the events it evaluated."""


def normalisation_json(norm: Normalisation, log_norm: float) -> dict[str, float]:
    """Return the mean ratio over the reference with its error, and what was subtracted from the log ratios."""
    return {"mean": norm.mean, "error": norm.error, "log_norm": log_norm}


def side_checks(sides: Sides) -> dict[str, object]:
    """Return the checks of a ratio that need its log ratios and weights only."""
    return {
        "auc": area_under_curve(sides),
        "auc_closure": None,
        "saturated_fraction": saturated_fraction(sides),
        "largest_log_ratio": float(max(np.max(np.abs(sides.process)), np.max(np.abs(sides.reference)))),
        "effective_sample_size": {
            "process": effective_sample_size(sides.process_weight),
            "reference": effective_sample_size(sides.reference_weight),
            "reweighted_reference": reweighted_sample_size(sides),
        },
        "calibration": dict(calibration_curve(sides).to_json()),
    }


def closures(sides: Sides, process: EventTable, reference: Sequence[EventTable]) -> dict[str, object]:
    """Return the reweighting closure of every observable of the events, also of those the networks do not see.

    Args:
        sides: log ratios and weights.
        process: the events of its process side.
        reference: those of its reference side, one table after the other.
    """
    found: dict[str, object] = {}
    for name in process.observable_names:
        own = process.columns([name])[:, 0]
        other = np.concatenate([table.columns([name])[:, 0] for table in reference])
        if not (np.isfinite(own).all() and np.isfinite(other).all()):
            continue
        one = closure(sides, own, other)
        if one is not None:
            found[name] = one.to_json()
    return found


def saturated_networks(found: Iterable[Combined] | Mapping[str, Combined], *, what: str) -> list[dict[str, object]]:
    """Return the networks whose score is 0 or 1 at more than 0.1 % of the events, worst first; they are logged.

    Args:
        found: what the networks gave for each sample.
        what: the networks in words, e.g. ``process 'signal'``.

    Raises:
        NumericalFailure: ``evaluation.saturated`` where the score of a network is 0 or 1 at every event: that is no
            ratio of two densities.
    """
    results = list(found.values()) if isinstance(found, Mapping) else list(found)
    evaluated = np.sum([one.evaluated for one in results], axis=0)
    saturated = np.sum([one.saturated for one in results], axis=0)
    share = saturated / np.maximum(evaluated, 1)
    order = np.argsort(-share, axis=None, kind="stable")
    members, folds = np.unravel_index(order, share.shape)
    worst: list[dict[str, object]] = []
    for member, fold in zip(members.tolist(), folds.tolist(), strict=True):
        if share[member, fold] <= _SATURATED_SHARE:
            break
        if share[member, fold] == 1.0:
            raise NumericalFailure(
                f"{what}: the score of member {member}, fold {fold} is 0 or 1 (|log r| > {SATURATED:g}) at all its "
                f"{evaluated[member, fold]} events",
                code="evaluation.saturated",
                hint="look at the losses of this network; use a smaller learning rate and train it again",
            )
        worst.append({"member": member, "fold": fold, "share": float(share[member, fold])})
        _log.warning(
            "%s: the score of member %d, fold %d is 0 or 1 at %.3g %% of its events",
            what, member, fold, 100.0 * share[member, fold],
        )  # fmt: skip
    return worst
