"""Ensembles: their region, processes, reference mixture and inputs."""

from __future__ import annotations

from evercast.spec.checks.context import Context, check_distinct, check_reference
from evercast.spec.checks.model import check_simulated
from evercast.spec.model import Ensemble
from evercast.spec.report import Report

__all__ = ["check_ensembles"]


def check_ensembles(context: Context, report: Report) -> None:
    """Check that ensembles name what is declared, each once."""
    for name, ensemble in context.analysis.ensembles.items():
        _check_ensemble(context, report, name, ensemble)


def _check_ensemble(context: Context, report: Report, name: str, ensemble: Ensemble) -> None:
    path = ("ensembles", name)
    check_reference(report, (*path, "region"), ensemble.region, "region", context.declared("selection", "regions"))
    lists = {
        "processes": (ensemble.processes, "process", context.declared("processes")),
        "observables": (ensemble.observables, "observable", context.declared("selection", "observables")),
    }
    for key, (values, kind, declared) in lists.items():
        check_distinct(report, (*path, key), values, key)
        for place, value in enumerate(values):
            check_reference(report, (*path, key, place), value, kind, declared)
    for sample in ensemble.reference:
        place_of_sample = (*path, "reference", sample)
        if check_reference(report, place_of_sample, sample, "sample", context.declared("samples")):
            check_simulated(context, report, place_of_sample, sample)
    block = ensemble.members_per_block
    if block is not None and block > ensemble.members:
        message = f"a block of {block} members is larger than the ensemble"
        report.add((*path, "members_per_block"), "spec.out-of-range", message, expected=f"at most {ensemble.members}")
    _check_training(report, (*path, "training"), ensemble)


def _check_training(report: Report, path: tuple[str, ...], ensemble: Ensemble) -> None:
    training = ensemble.training
    if training.device.kind == "cpu" and training.device.cpu_fallback:
        message = "networks that are trained on the CPU have nothing to fall back from"
        report.add((*path, "device", "cpu_fallback"), "spec.needless-key", message, hint="remove it")
    if training.precision != "float32" and ensemble.model.depth == 1:
        message = "the products between hidden layers are taken in bfloat16, and a network of depth 1 has none"
        report.add((*path, "precision"), "spec.needless-key", message, hint="remove it, or use a depth of 2 or more")
