"""Systematics: processes, samples, channels and parameters that exist, and an effect that is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evercast.spec.checks.context import Context, check_distinct, check_reference
from evercast.spec.checks.model import check_simulated
from evercast.spec.checks.variations import check_events
from evercast.spec.model import (
    BinnedChannel,
    NormalisationSystematic,
    SampleSystematic,
    Systematic,
    TwoPointSystematic,
    UnbinnedChannel,
)
from evercast.spec.report import Path, Report, shown_name
from evercast.spec.systematics import acts_in, changes_density, effect_of, parameter_of, processes_of

__all__ = ["channels_of", "check_systematics", "nuisance_parameters", "training_parameters"]

_RESERVED = frozenset({"and", "or", "not"})


def check_systematics(context: Context, report: Report) -> None:
    """Check every systematic alone, then those that share a parameter."""
    for name, systematic in context.analysis.systematics.items():
        path: Path = ("systematics", name)
        _check_processes(context, report, path, systematic)
        _check_channels(context, report, path, systematic)
        _check_parameter(context, report, path, systematic)
        if isinstance(systematic, NormalisationSystematic):
            _check_factors(report, path, systematic)
        elif isinstance(systematic, SampleSystematic | TwoPointSystematic):
            _check_samples(context, report, path, systematic)
        else:
            check_events(context, report, path, systematic)
    _check_one_shape(context, report)
    _check_parameter_names(context, report)


def nuisance_parameters(context: Context) -> tuple[str, ...]:
    """Return the parameters that systematics make or follow, also of those entries that are broken."""
    systematics = context.analysis.systematics
    whole = (parameter_of(name, systematic) for name, systematic in systematics.items())
    broken = (name for name in context.declared("systematics") if name not in systematics)
    return tuple(dict.fromkeys((*whole, *broken)))


def channels_of(context: Context, process: str) -> Iterator[tuple[str, str]]:
    """Yield likelihood and channel in which a process contributes."""
    for name, likelihood in context.analysis.likelihoods.items():
        for channel_name, channel in likelihood.channels.items():
            if process in _processes_in(context, channel):
                yield name, channel_name


def _processes_in(context: Context, channel: BinnedChannel | UnbinnedChannel) -> tuple[str, ...]:
    if isinstance(channel, BinnedChannel):
        return channel.processes
    ensemble = context.analysis.ensembles.get(channel.ensemble)
    return () if ensemble is None else ensemble.processes


def _check_processes(context: Context, report: Report, path: Path, systematic: Systematic) -> None:
    declared = context.declared("processes")
    if isinstance(systematic, SampleSystematic | TwoPointSystematic):
        for process in systematic.samples:
            check_reference(report, (*path, "samples", process), process, "process", declared)
        return
    written = context.body["systematics"][str(path[1])].get("processes")
    if isinstance(written, list):
        check_distinct(report, (*path, "processes"), systematic.processes, "processes")
        for place, process in enumerate(systematic.processes):
            check_reference(report, (*path, "processes", place), process, "process", declared)


def _check_channels(context: Context, report: Report, path: Path, systematic: Systematic) -> None:
    """Check that channels exist and hold a process of the systematic."""
    specs = context.analysis.likelihoods.values()
    declared = tuple(dict.fromkeys(channel for spec in specs for channel in spec.channels))
    check_distinct(report, (*path, "channels"), systematic.channels, "channels")
    processes = processes_of(systematic)
    certain = all(context.is_whole(section) for section in ("likelihoods", "processes", "ensembles"))
    certain = certain and context.is_intact(*path) and set(processes) <= set(context.declared("processes"))
    used = {channel for process in processes for _, channel in channels_of(context, process)}
    for place, channel in enumerate(systematic.channels):
        there = (*path, "channels", place)
        if not context.is_whole("likelihoods") and channel not in declared:
            continue
        if check_reference(report, there, channel, "channel", declared) and certain and channel not in used:
            message = f"the channel '{channel}' has none of the processes of the systematic"
            report.add(there, "spec.no-effect", message, found=", ".join(processes))


def _check_parameter(context: Context, report: Report, path: Path, systematic: Systematic) -> None:
    """Check the nuisance parameter; where it is declared too, it must be a unit Gaussian around 0."""
    name = parameter_of(str(path[1]), systematic)
    place = (*path, "parameter") if systematic.parameter is not None else path
    if name in _RESERVED:
        message = f"{shown_name(name)} is a word of the expressions"
        report.add(place, "spec.reserved-name", message, key=systematic.parameter is None)
    declared = context.analysis.parameters.get(name)
    if declared is None or (declared.constraint == "normal" and declared.initial == 0 and not declared.poi):
        return
    found = f"constraint: {declared.constraint}, initial: {declared.initial:g}" + (
        ", poi: true" if declared.poi else ""
    )
    report.add(
        place, "spec.name-clash",
        f"the systematic follows the parameter {shown_name(name)}, which is not a unit Gaussian around 0", found=found,
        expected="constraint: normal, initial: 0", hint="leave it out of parameters, or rename one of them",
        key=systematic.parameter is None,
    )  # fmt: skip


def _check_factors(report: Report, path: Path, systematic: NormalisationSystematic) -> None:
    if systematic.up == systematic.down:
        what = "has no effect" if systematic.up == 1 else "has the same effect both ways"
        message = f"'up' and 'down' are both {systematic.up:g}; the systematic {what}"
        report.add((*path, "up"), "spec.no-effect", message, expected="two different factors, e.g. 1.1 and 0.9")


def _check_samples(
    context: Context, report: Report, path: Path, systematic: SampleSystematic | TwoPointSystematic
) -> None:
    for process, own in _samples_of(systematic).items():
        nominal = context.analysis.processes.get(process)
        for key, sample in own.items():
            place: Path = (*path, "samples", process, *((key,) if key else ()))
            if check_reference(report, place, sample, "sample", context.declared("samples")):
                check_simulated(context, report, place, sample)
                _check_normalised(context, report, place, sample, systematic)
                if nominal is not None and sample == nominal.sample:
                    message = f"'{sample}' is the nominal sample of '{process}'; the variation changes nothing"
                    hint = "for one alternative sample there is kind: two_point" if key else None
                    report.add(place, "spec.no-effect", message, expected="a varied sample", hint=hint)
        if own.get("up") is not None and own.get("up") == own.get("down"):
            message = f"'up' and 'down' of '{process}' are one sample, '{own['up']}'; the systematic has no effect"
            report.add((*path, "samples", process), "spec.no-effect", message, expected="two different samples")


def _samples_of(systematic: SampleSystematic | TwoPointSystematic) -> Mapping[str, Mapping[str, str]]:
    """Return process -> key -> sample; the key is empty where the sample stands under the process itself."""
    if isinstance(systematic, TwoPointSystematic):
        return {process: {"": sample} for process, sample in systematic.samples.items()}
    return {process: {"up": one.up, "down": one.down} for process, one in systematic.samples.items()}


def _check_normalised(context: Context, report: Report, path: Path, name: str, systematic: Systematic) -> None:
    """Add a problem where a yield is taken from a sample that declares none."""
    sample = context.analysis.samples.get(name)
    if sample is None or sample.role == "data" or effect_of(systematic) == "shape":
        return
    if "normalisation" in context.body["samples"][name]:
        return
    message = f"the sample '{name}' has no normalisation, and the systematic changes yields"
    hint = "give the sample a normalisation, or take the shape alone"
    report.add(path, "spec.normalisation", message, expected="a normalisation", hint=hint)


def _check_one_shape(context: Context, report: Report) -> None:
    """Refuse two changes of one density by one parameter: which of the two holds would be undefined."""
    first: dict[tuple[str, str, str], str] = {}
    for name, systematic in context.analysis.systematics.items():
        if not changes_density(systematic):
            continue
        parameter = parameter_of(name, systematic)
        for process in processes_of(systematic):
            for place in dict.fromkeys(_places(context, systematic, process)):
                other = first.setdefault((parameter, process, place), name)
                if other != name:
                    message = (
                        f"the density of '{process}' in {place} follows the parameter '{parameter}' already,"
                        f" by the systematic '{other}'"
                    )
                    hint = "give one of them a parameter of its own, or other channels"
                    report.add(("systematics", name), "spec.two-shapes", message, hint=hint, key=True)
                    break


def _places(context: Context, systematic: Systematic, process: str) -> Iterator[str]:
    """Yield where a systematic changes a density: a bin content of a channel, or the ratios of an ensemble."""
    for likelihood, name in channels_of(context, process):
        channel = context.analysis.likelihoods[likelihood].channels[name]
        if acts_in(systematic, (name,)):
            if isinstance(channel, BinnedChannel):
                yield f"the channel '{name}' of '{likelihood}'"
            else:
                yield f"the ensemble '{channel.ensemble}'"


def _check_parameter_names(context: Context, report: Report) -> None:
    """Refuse parameters that differ in case only, and those that training statistics will make."""
    seen = {name.lower(): name for name in context.declared("parameters")}
    made = set(training_parameters(context))
    for name, systematic in context.analysis.systematics.items():
        parameter = parameter_of(name, systematic)
        place: Path = ("systematics", name, *(("parameter",) if systematic.parameter is not None else ()))
        other = seen.setdefault(parameter.lower(), parameter)
        if other != parameter:
            message = f"the parameters {shown_name(other)} and {shown_name(parameter)} differ in case only"
            report.add(place, "spec.case-only", message, hint="rename one of them", key=systematic.parameter is None)
        if parameter in made:
            message = f"the name {shown_name(parameter)} is taken by a mode of the training statistics"
            report.add(place, "spec.name-clash", message, hint="rename it", key=systematic.parameter is None)
    for name in context.declared("parameters"):
        if name in made:
            message = f"the name {shown_name(name)} is taken by a mode of the training statistics"
            report.add(("parameters", name), "spec.name-clash", message, hint="rename it", key=True)


def training_parameters(context: Context) -> Iterator[str]:
    """Yield the nuisance parameters that unbinned channels make of bootstrap replicas."""
    for likelihood in context.analysis.likelihoods.values():
        for channel in likelihood.channels.values():
            if isinstance(channel, UnbinnedChannel):
                for mode in range(channel.training_statistics):
                    yield f"training_statistics_{channel.ensemble}_{mode}"
