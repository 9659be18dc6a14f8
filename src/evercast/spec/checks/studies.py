"""What is computed beyond the fit: contours, pseudo-experiments, uncertainties from training."""

from __future__ import annotations

from math import ceil

from evercast.spec.checks.context import Context, check_distinct, check_reference
from evercast.spec.checks.systematics import nuisance_parameters, training_parameters
from evercast.spec.model import ToyStudy, TwoPointSystematic, UnbinnedChannel
from evercast.spec.report import Path, Report
from evercast.spec.systematics import acts_in, changes_density, parameter_of

__all__ = ["check_studies"]

_BEYOND = 10
_QUANTILES = {"neyman": 1, "coverage": 2}
"""Purposes that take quantiles of the test statistic: of all, or of half of the pseudo-experiments."""


def check_studies(context: Context, report: Report) -> None:
    """Check contours, studies, training statistics and polynomial morphs."""
    _check_contours(context, report)
    for name, study in context.analysis.inference.toys.items():
        _check_study(context, report, ("inference", "toys", name), study)
    _check_training_statistics(context, report)
    _check_polynomials(context, report)


def _check_contours(context: Context, report: Report) -> None:
    known = (*context.declared("parameters"), *nuisance_parameters(context), *training_parameters(context))
    for place, pair in enumerate(context.analysis.inference.contours):
        path: Path = ("inference", "contours", place)
        for side, name in enumerate(pair):
            check_reference(report, (*path, side), name, "parameter", tuple(dict.fromkeys(known)))
        check_distinct(report, path, pair, "parameters")


def _check_study(context: Context, report: Report, path: Path, study: ToyStudy) -> None:
    check_distinct(report, (*path, "likelihoods"), study.likelihoods, "likelihoods")
    for place, name in enumerate(study.likelihoods):
        check_reference(report, (*path, "likelihoods", place), name, "likelihood", context.declared("likelihoods"))
    check_distinct(report, (*path, "values"), study.values, "values")
    check_distinct(report, (*path, "confidence_levels"), study.confidence_levels, "confidence levels")
    if study.purpose == "goodness_of_fit":
        if study.values:
            message = "a goodness of fit is found at the best fit, it has no values"
            report.add((*path, "values"), "spec.needless-key", message, hint="remove them")
        return
    if not study.values and (*path, "values") not in context.broken:
        message = f"pseudo-experiments for '{study.purpose}' need values of the parameter of interest"
        report.add(path, "spec.missing-key", message, expected="values: [...]", key=True)
    if study.purpose == "neyman" and len(study.values) == 1:
        message = "a Neyman construction needs acceptance intervals at two values or more"
        report.add((*path, "values"), "spec.size", message, found="1", expected="at least 2 values")
    if study.purpose == "injection" and study.nuisance != "nominal":
        message = "events of the generators are those of nominal nuisance parameters"
        report.add(path, "spec.missing-key", message, expected="nuisance: nominal", key=True)
    _check_number(report, path, study)
    _check_values(context, report, path, study)


def _check_number(report: Report, path: Path, study: ToyStudy) -> None:
    """Refuse numbers of pseudo-experiments that leave fewer than ten beyond a quantile; coverage takes it from half."""
    if study.purpose not in _QUANTILES:
        return
    level = max(study.confidence_levels)
    needed = _QUANTILES[study.purpose] * ceil(_BEYOND / (1 - level))
    if study.toys < needed:
        message = f"{study.toys} pseudo-experiments are too few for the confidence level {level:g}"
        hint = f"fewer than {_BEYOND} would lie beyond it; or take a lower level"
        report.add((*path, "toys"), "spec.toys", message, expected=f"at least {needed}", hint=hint)


def _check_values(context: Context, report: Report, path: Path, study: ToyStudy) -> None:
    pois = [(name, one.bounds) for name, one in context.analysis.parameters.items() if one.poi]
    if study.purpose == "limit":
        for place, value in enumerate(study.values):
            if value <= 0:
                message = f"an upper limit is looked for above 0, found {value:g}"
                report.add((*path, "values", place), "spec.out-of-range", message, expected="values above 0")
    name, bounds = pois[0] if len(pois) == 1 else ("", None)
    if bounds is None:
        return
    low, high = bounds
    for place, value in enumerate(study.values):
        if not low <= value <= high:
            message = f"the value {value:g} is outside the bounds of '{name}'"
            report.add((*path, "values", place), "spec.bounds", message, expected=f"{low:g} to {high:g}")


def _check_training_statistics(context: Context, report: Report) -> None:
    """Check that modes of the training statistics have the replicas that they come from, and replicas their process."""
    for name, declared in context.analysis.ensembles.items():
        for place, process in enumerate(declared.bootstrap.processes if declared.bootstrap is not None else ()):
            where: Path = ("ensembles", name, "bootstrap", "processes", place)
            check_reference(report, where, process, "process of the ensemble", declared.processes)
    for name, likelihood in context.analysis.likelihoods.items():
        for channel_name, channel in likelihood.channels.items():
            path: Path = ("likelihoods", name, "channels", channel_name, "training_statistics")
            if not isinstance(channel, UnbinnedChannel) or channel.training_statistics == 0:
                continue
            ensemble = context.analysis.ensembles.get(channel.ensemble)
            if ensemble is None or ("ensembles", channel.ensemble, "bootstrap") in context.broken:
                continue
            modes = channel.training_statistics
            if ensemble.bootstrap is None:
                message = f"modes of the training statistics need replicas, and '{channel.ensemble}' has no bootstrap"
                hint = f"add bootstrap: {{replicas: 20}} to the ensemble '{channel.ensemble}'"
                report.add(path, "spec.bootstrap", message, hint=hint)
            elif modes >= ensemble.bootstrap.replicas:
                message = f"{ensemble.bootstrap.replicas} replicas have fewer than {modes} modes"
                report.add(path, "spec.bootstrap", message, expected=f"at most {ensemble.bootstrap.replicas - 1}")


def _check_polynomials(context: Context, report: Report) -> None:
    """Check that the points of each nuisance parameter determine a polynomial of the wanted degree."""
    for name, ensemble in context.analysis.ensembles.items():
        if ensemble.morphing.kind != "parametric" or ensemble.morphing.degree == 1:
            continue
        channels = [
            channel_name
            for likelihood in context.analysis.likelihoods.values()
            for channel_name, channel in likelihood.channels.items()
            if isinstance(channel, UnbinnedChannel) and channel.ensemble == name
        ]
        for key, systematic in context.analysis.systematics.items():
            if not isinstance(systematic, TwoPointSystematic) or not changes_density(systematic):
                continue
            if acts_in(systematic, channels) and set(systematic.samples) & set(ensemble.processes):
                message = (
                    f"the two-point systematic '{key}' gives the polynomial one point of "
                    f"'{parameter_of(key, systematic)}', a polynomial of degree {ensemble.morphing.degree} needs two"
                )
                hint = "degree: 1, or kind: anchor"
                report.add(("ensembles", name, "morphing", "degree"), "spec.morphing", message, hint=hint)
