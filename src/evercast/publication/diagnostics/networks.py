"""Checks 2 to 6 of the density ratios, all on events that the networks in question did not train on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy import stats

from evercast.artifacts.event_table import EventTable
from evercast.networks.comparison import (
    BinnedDifference,
    Matched,
    binned_difference,
    score_calibration,
    two_sample_test,
)
from evercast.networks.dataset import effective_sample_size
from evercast.networks.diagnostics import ensemble_standard_error
from evercast.networks.folds import random_bits
from evercast.publication.diagnostics import thresholds
from evercast.publication.diagnostics.check import (
    Check,
    Topic,
    agreement,
    judged,
    not_applicable,
    shared_out,
    status_of,
    topic,
    worst,
)
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.report.view import read_view
from evercast.spec.model import Ensemble

__all__ = ["Classes", "network_checks", "read_classes"]

MOST_EVENTS: Final = 200_000
"""Events of a class that are compared; more would resolve what no threshold looks at."""
_QUANTILES: Final = (0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0)
_SEED: Final = 20180423


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Classes:
    """The events of a process and of the reference, one after the other, with their log ratios.

    Args:
        log_ratio: (rows,) of the process, evaluated out of fold, normalised.
        spread: (rows,) standard deviation of the log ratio over members.
        samples: weights of the process and of the reference, each of total 1.
        tables: of each sample, in the order of the rows.
    """

    log_ratio: Float64[np.ndarray, " rows"]
    spread: Float64[np.ndarray, " rows"]
    samples: Matched
    tables: tuple[EventTable, ...]

    def reweighted(self) -> Matched:
        """Return the process and the reference weighted with the ratio, each of total weight 1."""
        carried = self.samples.second * np.exp(self.log_ratio)
        return Matched(event=self.samples.event, first=self.samples.first, second=carried / np.sum(carried))

    def column(self, observable: str) -> Float64[np.ndarray, " rows"]:
        """Return an observable of all rows."""
        return np.concatenate([table.columns([observable])[:, 0] for table in self.tables])


def network_checks(run: RunContents) -> Iterator[Check]:
    """Yield the checks of every ensemble and process.

    Raises:
        IntegrityError: a file of the run is damaged.
    """
    for name, ensemble in run.analysis.ensembles.items():
        if run.unit("evaluation", name) is None:
            continue
        yield from _learned_normalisation(run, name)
        for process in ensemble.processes:
            classes = read_classes(run, name, ensemble, process)
            if classes is not None:
                yield _calibration(name, process, classes)
                yield from _closures(name, ensemble, process, classes)
                yield from _tails(name, process, classes)
                yield _convergence(name, ensemble, process, classes)


def read_classes(run: RunContents, name: str, ensemble: Ensemble, process: str) -> Classes | None:
    """Return both classes of a process of an ensemble; None where its samples were not evaluated.

    Raises:
        IntegrityError: a file of the run is damaged.
    """
    column = ensemble.processes.index(process)
    parts = [(run.analysis.processes[process].sample, None), *ensemble.reference.items()]
    tables, ratios, spreads, first, second = [], [], [], [], []
    for sample, share in parts:
        table, ratio = run.in_region(sample, ensemble.region), run.evaluated(name, sample, "log_ratio")
        spread = run.evaluated(name, sample, "member_spread")
        if table is None or ratio is None or spread is None or len(ratio) != len(table) or not len(table):
            return None
        kept = _thinned(table)
        table = table.take(kept)
        weight = table.weight / np.sum(table.weight)
        tables.append(table)
        ratios.append(ratio[kept, column])
        spreads.append(spread[kept, column])
        first.append(weight if share is None else np.zeros(len(table)))
        second.append(np.zeros(len(table)) if share is None else share * weight)
    reference = np.concatenate(second)
    return Classes(
        log_ratio=np.concatenate(ratios), spread=np.concatenate(spreads), tables=tuple(tables),
        samples=Matched(
            event=np.concatenate([table.event for table in tables]),
            first=np.concatenate(first), second=reference / np.sum(reference),
        ),
    )  # fmt: skip


def _thinned(table: EventTable) -> np.ndarray:
    """Return rows of at most about `MOST_EVENTS` events, chosen by identity so that common events stay common."""
    if len(table) <= MOST_EVENTS:
        return np.arange(len(table))
    draw = random_bits(table.event, seed=_SEED) / 2.0**64
    return np.flatnonzero(draw < MOST_EVENTS / len(table))


def _learned_normalisation(run: RunContents, name: str) -> Iterator[Check]:
    unit = run.unit("evaluation", name)
    if unit is None:
        return
    for process, body in read_view(unit.folder / "diagnostics.json").items("processes"):
        mean, error = body.number("normalisation", "mean"), body.number("normalisation", "error") or 0.0
        if mean is None:
            continue
        p = _p_normal(abs(mean - 1.0), error)
        log_norm = body.number("normalisation", "log_norm")
        yield judged(
            topic(4, "E_ref[r] as learned", f"{name}: {process}", "normalisation", name, process), abs(mean - 1.0),
            thresholds.NORMALISATION, f"E_ref[r] = {mean:.4f} ± {error:.4f} before it is divided out, p = {p:.2g}",
            p=p, figure={"kind": "normalisation", "mean": mean, "error": error, "log_norm": log_norm},
        )  # fmt: skip


def _p_normal(distance: float, error: float) -> float:
    return float(2.0 * stats.norm.sf(distance / error)) if error > 0 else 0.0


def _calibration(name: str, process: str, classes: Classes) -> Check:
    found = score_calibration(classes.samples, classes.log_ratio)
    figure = {
        "kind": "calibration", "score": found.score.tolist(), "fraction": found.fraction.tolist(),
        "error": found.error.tolist(), "log_ratio": found.log_ratio.tolist(), "found": found.found.tolist(),
        "found_error": found.found_error.tolist(), "p": found.p,
    }  # fmt: skip
    return judged(
        topic(2, "score against fraction", f"{name}: {process}", "calibration", name, process), found.distance,
        thresholds.CALIBRATION,
        f"mean distance of score and fraction {agreement(found.distance, found.p)}, events held out", p=found.p,
        figure=figure,
    )  # fmt: skip


def _closures(name: str, ensemble: Ensemble, process: str, classes: Classes) -> Iterator[Check]:
    reweighted = classes.reweighted()
    seen: dict[str, BinnedDifference] = {}
    unseen: dict[str, BinnedDifference] = {}
    for observable in classes.tables[0].observable_names:
        values = classes.column(observable)
        found = binned_difference(reweighted, values) if np.isfinite(values).all() else None
        if found is not None:
            (seen if observable in ensemble.observables else unseen)[observable] = found
    subject = f"{name}: {process}"
    yield _closure(topic(3, "inputs of the networks", subject, "closure", name, process), seen)
    about = topic(3, "unseen observables", subject, "closure-unseen", name, process)
    yield (_closure(about, unseen) if unseen else not_applicable(about, "every observable is an input of the networks"))
    features = np.column_stack([classes.column(observable) for observable in ensemble.observables])
    test = two_sample_test(reweighted, features, seed=_SEED)
    p = _p_normal(abs(test.area - 0.5), test.error)
    yield judged(
        topic(3, "classifier two-sample test", subject, "two-sample", name, process), abs(test.area - 0.5),
        thresholds.TWO_SAMPLE, f"area under the curve {test.area:.4f} ± {test.error:.4f}, 1/2 wanted, p = {p:.2g}",
        p=p, figure={"kind": "two-sample", "area": test.area, "error": test.error},
    )  # fmt: skip


def _closure(about: Topic, found: dict[str, BinnedDifference]) -> Check:
    if not found:
        return not_applicable(about, "no observable varies in the region")
    limits = shared_out(thresholds.CLOSURE, len(found))
    statuses = {key: status_of(item.misplaced, limits, p=item.p) for key, item in found.items()}
    overall = worst(tuple(statuses.values()))
    chosen = max((key for key, status in statuses.items() if status == overall), key=lambda key: found[key].misplaced)
    item = found[chosen]
    return Check(
        id=about.id, name=about.name, number=3, subject=about.subject, status=overall, value=item.misplaced,
        threshold_amber=limits.amber, threshold_red=limits.red,
        message=f"worst of {len(found)} in {chosen}: misplaced {agreement(item.misplaced, item.p)}, χ² / bins = "
        f"{item.chi2:.1f} / {item.bins}; errors of the difference, common events accounted for",
        figure={"kind": "closure", "observables": {key: _difference(item) for key, item in found.items()}},
    )  # fmt: skip


def _difference(item: BinnedDifference) -> dict[str, object]:
    return {
        "edges": item.edges.tolist(), "target": item.first.tolist(), "target_error": item.first_error.tolist(),
        "reweighted": item.second.tolist(), "reweighted_error": item.second_error.tolist(),
        "difference_error": item.error.tolist(), "chi2": item.chi2, "bins": item.bins, "p": item.p,
        "misplaced": item.misplaced,
    }  # fmt: skip


def _tails(name: str, process: str, classes: Classes) -> Iterator[Check]:
    subject = f"{name}: {process}"
    saturated = float(np.mean(np.abs(classes.log_ratio) > 15.0))
    quantiles = np.quantile(classes.log_ratio, _QUANTILES)
    yield judged(
        topic(5, "saturated scores", subject, "saturation", name, process), saturated, thresholds.SATURATION,
        f"{100 * saturated:.2g} % of the events beyond |log r| = 15; log r from {quantiles[0]:.3g} to "
        f"{quantiles[-1]:.3g}",
        figure={"kind": "tails", "levels": list(_QUANTILES), "log_ratio": quantiles.tolist()},
    )  # fmt: skip
    carried = classes.reweighted().second
    largest = float(np.max(np.abs(carried)))
    yield judged(
        topic(5, "largest weight", subject, "largest-weight", name, process), largest, thresholds.LARGEST_WEIGHT,
        f"one event carries {100 * largest:.2g} % of the reference reweighted to the process",
    )  # fmt: skip
    weights = {"process": classes.samples.first, "reference": classes.samples.second, "reweighted reference": carried}
    counts = {key: effective_sample_size(weight[weight != 0.0]) for key, weight in weights.items()}
    least = max(min(counts.values()), 1e-9)
    yield judged(
        topic(5, "effective sample size", subject, "sample-size", name, process), least**-0.5, thresholds.SIZE,
        "effective events: " + ", ".join(f"{key} {count:.0f}" for key, count in counts.items()) + "; the value is 1/√N",
        figure={"kind": "sizes", **counts},
    )  # fmt: skip


def _convergence(name: str, ensemble: Ensemble, process: str, classes: Classes) -> Check:
    about = topic(6, None, f"{name}: {process}", "convergence", name, process)
    if ensemble.members < 2:
        return not_applicable(about, "the ensemble has one member: no spread is known")
    used = classes.samples.second != 0.0
    carried = classes.reweighted().second[used]
    members = sorted({*range(1, min(ensemble.members, 8) + 1), ensemble.members // 2, ensemble.members} - {0})
    curve = ensemble_standard_error(classes.spread[used], carried, members=members)
    middle, high = curve[ensemble.members]
    figure = {
        "kind": "convergence", "members": members, "median": [curve[m][0] for m in members],
        "quantile_90": [curve[m][1] for m in members],
    }  # fmt: skip
    return judged(
        about, middle, thresholds.STANDARD_ERROR,
        f"standard error of log r with {ensemble.members} members: median {middle:.3g}, 90 % quantile {high:.3g}; from "
        "the spread of the members, as spread / √members, over the reference reweighted to the process",
        figure=figure,
    )  # fmt: skip
