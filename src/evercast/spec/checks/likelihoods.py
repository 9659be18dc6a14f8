"""Likelihoods: channels that name what is declared, and no event counted twice."""

from __future__ import annotations

from evercast.spec.checks.context import Context, check_distinct, check_increasing, check_reference
from evercast.spec.model import BinnedChannel, LikelihoodSpec, UnbinnedChannel
from evercast.spec.report import Path, Report

__all__ = ["check_likelihoods"]


def check_likelihoods(context: Context, report: Report) -> None:
    """Check every channel of every likelihood."""
    for name, likelihood in context.analysis.likelihoods.items():
        for channel_name, channel in likelihood.channels.items():
            path = ("likelihoods", name, "channels", channel_name)
            if isinstance(channel, BinnedChannel):
                _check_binned(context, report, path, channel)
            else:
                ensembles = context.declared("ensembles")
                check_reference(report, (*path, "ensemble"), channel.ensemble, "ensemble", ensembles)
        _check_regions(context, report, name, likelihood)


def _check_binned(context: Context, report: Report, path: Path, channel: BinnedChannel) -> None:
    regions = context.declared("selection", "regions")
    check_reference(report, (*path, "region"), channel.region, "region", regions)
    observables = context.declared("selection", "observables")
    check_reference(report, (*path, "observable"), channel.observable, "observable", observables)
    check_increasing(report, (*path, "edges"), channel.edges, "edges")
    check_distinct(report, (*path, "processes"), channel.processes, "processes")
    for place, process in enumerate(channel.processes):
        check_reference(report, (*path, "processes", place), process, "process", context.declared("processes"))
    for process, histogram in channel.templates.items():
        _check_template(context, report, (*path, "templates", process), channel, histogram)


def _check_template(context: Context, report: Report, path: Path, channel: BinnedChannel, histogram: str) -> None:
    process = str(path[-1])
    if process not in channel.processes:
        message = f"the template is for '{process}', which is not a process of the channel"
        report.add(path, "spec.unknown-reference", message, expected=f"one of {', '.join(channel.processes)}", key=True)
    if not check_reference(report, path, histogram, "histogram", context.declared("histograms")):
        return
    declared = context.analysis.histograms.get(histogram)
    if declared is not None and declared.observable != channel.observable:
        message = f"the histogram '{histogram}' is of another observable than the channel"
        report.add(path, "spec.mismatch", message, found=declared.observable, expected=channel.observable)


def _check_regions(context: Context, report: Report, name: str, likelihood: LikelihoodSpec) -> None:
    """Refuse one region in two channels: its events would be counted twice."""
    first: dict[str, str] = {}
    for channel_name, channel in likelihood.channels.items():
        region = _region(context, channel)
        if region in first:
            message = (
                f"the region '{region}' stands in the channel '{first[region]}' already; its events would count twice"
            )
            report.add(("likelihoods", name, "channels", channel_name), "spec.region-twice", message, key=True)
        elif region is not None:
            first[region] = channel_name


def _region(context: Context, channel: BinnedChannel | UnbinnedChannel) -> str | None:
    if isinstance(channel, BinnedChannel):
        return channel.region
    ensemble = context.analysis.ensembles.get(channel.ensemble)
    return ensemble.region if ensemble is not None else None
