"""Check 1: losses, and what the networks know of the events they were trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy import stats

from evercast.artifacts.weights import EnsembleWeights, read_weights
from evercast.networks.folds import CrossFitting
from evercast.networks.numpy_evaluate import numpy_logits
from evercast.networks.overtraining import FoldComparison, Scored, compare_fold
from evercast.publication.diagnostics import thresholds
from evercast.publication.diagnostics.check import Check, Topic, judged, not_applicable, shared_out, topic
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.diagnostics.networks import Classes, read_classes
from evercast.publication.report.units import Unit, of_stage
from evercast.publication.report.view import JsonView, read_view

__all__ = ["training_checks", "training_units"]

_OPERATIONS: Final = 4e10
"""Multiplications spent on one process; some ten seconds of one core."""
_LEAST, _MOST = 500, 20_000


def training_checks(run: RunContents) -> Iterator[Check]:
    """Yield the comparison of training and holdout of every ensemble and process.

    Raises:
        IntegrityError: a file of the run is damaged.
    """
    for name, ensemble in run.analysis.ensembles.items():
        for process in ensemble.processes:
            units = training_units(run, name, process)
            classes = read_classes(run, name, ensemble, process)
            about = topic(1, "scores of both", f"{name}: {process}", "holdout", name, process)
            if not units or classes is None:
                continue
            weights = units[0].folder / "weights.safetensors"
            losses = _mean_losses(units)
            if not weights.is_file() or ensemble.folds < 2:
                reason = (
                    "the weights are not there" if not weights.is_file() else "there is one fold: nothing is held out"
                )
                yield not_applicable(about, reason)
                continue
            networks = read_weights(weights)
            folds = [found for fold in range(networks.folds) if (found := _fold(networks, classes, fold)) is not None]
            if folds:
                yield _distance(about, folds)
                yield _loss(topic(1, "loss", about.subject, "holdout-loss", name, process), folds, losses)


def training_units(run: RunContents, ensemble: str, process: str) -> tuple[Unit, ...]:
    """Return the units that trained the ratio of a process to the reference, not variations or replicas."""
    return tuple(
        unit
        for unit in of_stage(run.units, "training")
        if _learns_ratio(read_view(unit.folder / "training.json"), ensemble, process)
    )


def _learns_ratio(body: JsonView, ensemble: str, process: str) -> bool:
    plain = body.at("variation").value is None and not body.at("points").value and body.at("replica").value is None
    return plain and body.text("ensemble") == ensemble and body.text("process") == process


def _mean_losses(units: tuple[Unit, ...]) -> tuple[float, float] | None:
    """Return the mean training and validation loss at the kept epochs."""
    found = []
    for unit in units:
        for network in read_view(unit.folder / "training.json").entries("networks"):
            best = network.whole("best_epoch")
            train, validation = network.numbers("loss", "training"), network.numbers("loss", "validation")
            if best is not None and best < min(len(train), len(validation)):
                found.append((train[best], validation[best]))
    return None if not found else (float(np.mean([t for t, _ in found])), float(np.mean([v for _, v in found])))


def _fold(networks: EnsembleWeights, classes: Classes, fold: int) -> FoldComparison | None:
    """Return how the first member of a fold treats events of its training and others."""
    size = sum(weight.size for weight in networks.weights.at(0, 0).weight)
    most = int(np.clip(_OPERATIONS / (size * networks.folds * 2), _LEAST, _MOST))
    cross = CrossFitting(folds=networks.folds, seed=int(networks.labels["fold_seed"]))
    sides = []
    for weight in (classes.samples.first, classes.samples.second):
        rows = np.flatnonzero(weight != 0.0)
        rows = rows[:: max(1, len(rows) // most)]
        logit: Float64[np.ndarray, " rows"] = numpy_logits(
            networks.architecture,
            networks.weights.at(0, fold),
            _inputs(classes, networks.architecture.observables)[rows],
        )
        held = cross.fold_of(classes.samples.event[rows]) == fold
        sides.append(Scored(logit=logit, weight=weight[rows], held_out=held))
    return compare_fold(fold, sides[0], sides[1])


def _inputs(classes: Classes, observables: tuple[str, ...]) -> Float64[np.ndarray, "rows observables"]:
    return np.concatenate([table.columns(list(observables)) for table in classes.tables])


def _distance(about: Topic, folds: list[FoldComparison]) -> Check:
    sides = [(kind, f.fold, side) for f in folds for kind, side in (("process", f.process), ("reference", f.reference))]
    kind, fold, found = min(sides, key=lambda item: (item[2].p, -item[2].distance))
    figure = {
        "kind": "holdout", "fold": [f.fold for f in folds], "process": [f.process.distance for f in folds],
        "process_p": [f.process.p for f in folds], "reference": [f.reference.distance for f in folds],
        "reference_p": [f.reference.p for f in folds],
    }  # fmt: skip
    return judged(
        about, found.distance, shared_out(thresholds.KOLMOGOROV, len(sides)),
        f"Kolmogorov distance of events of the training and events held out {found.distance:.3g}, p = {found.p:.2g} "
        f"({kind}, fold {fold}, first member; the least likely of {len(sides)} comparisons)",
        p=found.p, figure=figure,
    )  # fmt: skip


def _loss(about: Topic, folds: list[FoldComparison], losses: tuple[float, float] | None) -> Check:
    gaps = np.array([f.holdout_loss - f.train_loss for f in folds])
    gap = float(np.mean(gaps))
    error = float(np.std(gaps, ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else 0.0
    p = float(stats.t.sf(gap / error, len(gaps) - 1)) if error > 0 else 0.0
    train, held = float(np.mean([f.train_loss for f in folds])), float(np.mean([f.holdout_loss for f in folds]))
    figure = {
        "kind": "losses", "fold": [f.fold for f in folds], "train": [f.train_loss for f in folds],
        "holdout": [f.holdout_loss for f in folds], "kept_training": losses[0] if losses else None,
        "kept_validation": losses[1] if losses else None,
    }  # fmt: skip
    return judged(
        about, gap, thresholds.HOLDOUT_LOSS,
        f"loss {train:.4f} on events of the training, {held:.4f} on events held out, mean of {len(folds)} folds; gap "
        f"{gap:+.4f} ± {error:.4f}, p = {p:.2g}",
        p=p, figure=figure,
    )  # fmt: skip
