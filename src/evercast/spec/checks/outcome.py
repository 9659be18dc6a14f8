"""What is computed, published and expected of a run."""

from __future__ import annotations

from evercast.spec.checks.bases import basis_of
from evercast.spec.checks.context import Context, check_reference
from evercast.spec.expressions import Binary, ExpressionError, Name, Node, Number, names, parse_coefficient
from evercast.spec.model import BinnedChannel, LikelihoodSpec, NormalisationSystematic, SignalPoints, UnbinnedChannel
from evercast.spec.quantities import declared_quantities
from evercast.spec.report import Path, Report
from evercast.spec.systematics import acts_in, processes_of

__all__ = ["check_outcome"]


def check_outcome(context: Context, report: Report) -> None:
    """Check inference, publications, pseudo-data and expected numbers."""
    _check_scan(context, report)
    _check_publish(context, report)
    _check_pseudo_data(context, report)
    _check_expected(context, report)


def _check_expected(context: Context, report: Report) -> None:
    """Check that expected numbers are of quantities that a run computes; one that is not would never be compared."""
    analysis = context.analysis
    pois = [name for name, parameter in analysis.parameters.items() if parameter.poi]
    others = [name for name in analysis.parameters if name not in pois]
    nuisance = [systematic.parameter or name for name, systematic in analysis.systematics.items()]
    known = declared_quantities(dict.fromkeys([*pois, *others, *nuisance]))
    for name in context.declared("expected"):
        likelihood, _, quantity = name.partition(".")
        path: Path = ("expected", name)
        check_reference(report, path, likelihood, "likelihood", context.declared("likelihoods"))
        if pois:
            check_reference(report, path, quantity, "quantity", known)
        declared = analysis.expected.get(name)
        if declared is not None and declared.sigma is not None and declared.uncertainty is None:
            message = "'sigma' is in units of the stated uncertainty, which is not given"
            report.add((*path, "sigma"), "spec.missing-key", message, expected="'uncertainty' beside it", key=True)


def _check_scan(context: Context, report: Report) -> None:
    low, high = context.analysis.inference.scan_range
    path: Path = ("inference", "scan_range")
    if low >= high:
        report.add(path, "spec.not-increasing", f"the first value {low:g} is not below the last, {high:g}")
        return
    bounds = [one.bounds for one in context.analysis.parameters.values() if one.poi and one.bounds is not None]
    if len(bounds) == 1 and bounds[0][0] < bounds[0][1] and not (bounds[0][0] <= low and high <= bounds[0][1]):
        message = f"the range {low:g} to {high:g} leaves the bounds of the parameter of interest"
        report.add(path, "spec.bounds", message, expected=f"within {bounds[0][0]:g} to {bounds[0][1]:g}")


def _check_publish(context: Context, report: Report) -> None:
    publish = context.analysis.publish
    declared = context.declared("likelihoods")
    binned = publish.pyhf
    if binned is not None:
        path: Path = ("publish", "pyhf", "likelihood")
        if check_reference(report, path, binned.likelihood, "likelihood", declared):
            likelihood = context.analysis.likelihoods.get(binned.likelihood)
            if likelihood is not None:
                _check_histfactory(context, report, path, likelihood)
        if binned.signal_points is not None:
            _check_points(context, report, binned.signal_points)
    unbinned = publish.neural_likelihood
    if unbinned is not None:
        path = ("publish", "neural_likelihood", "likelihood")
        if check_reference(report, path, unbinned.likelihood, "likelihood", declared):
            likelihood = context.analysis.likelihoods.get(unbinned.likelihood)
            if likelihood and not any(isinstance(one, UnbinnedChannel) for one in likelihood.channels.values()):
                message = f"the likelihood '{unbinned.likelihood}' has no unbinned channel"
                report.add(path, "spec.publication", message, expected="one with an ensemble of networks")


def _check_points(context: Context, report: Report, signal: SignalPoints) -> None:
    """Check that every signal point has a binned likelihood and a value for each label."""
    for name, point in signal.points.items():
        place: Path = ("publish", "pyhf", "signal_points", "points", name)
        if len(point.values) != len(signal.labels):
            message = f"the signal point has {len(point.values)} values for the labels {', '.join(signal.labels)}"
            report.add((*place, "values"), "spec.publication", message, expected=f"{len(signal.labels)} values")
        path = (*place, "likelihood")
        if check_reference(report, path, point.likelihood, "likelihood", context.declared("likelihoods")):
            likelihood = context.analysis.likelihoods.get(point.likelihood)
            if likelihood is not None:
                _check_histfactory(context, report, path, likelihood)


def _check_histfactory(context: Context, report: Report, path: Path, likelihood: LikelihoodSpec) -> None:
    """Check that a likelihood can be written as HistFactory: binned, with products of free parameters."""
    processes: dict[str, None] = {}
    for name, channel in likelihood.channels.items():
        if isinstance(channel, BinnedChannel):
            processes.update(dict.fromkeys(channel.processes))
        else:
            report.add(path, "spec.publication", f"the channel '{name}' is unbinned; pyhf holds binned channels only")
    for name, systematic in context.analysis.systematics.items():
        acts = acts_in(systematic, likelihood.channels) and set(processes_of(systematic)) & processes.keys()
        if isinstance(systematic, NormalisationSystematic) and systematic.code != 4 and acts:
            message = f"the systematic '{name}' has interpolation code {systematic.code}; a workspace cannot say so"
            hint = "use code 4, or publish the likelihood as neural_likelihood"
            report.add(
                path, "spec.publication", message, expected="code: 4, as readers of a workspace assume", hint=hint
            )
    for process in processes:
        declared, basis = context.analysis.processes.get(process), basis_of(context, process)
        if basis is not None:
            message = (
                f"the coefficient of '{process}' comes from the basis '{basis}'; pyhf has products of parameters only"
            )
            report.add(path, "spec.publication", message)
        elif declared is not None:
            _check_product(context, report, process, declared.coefficient)


def _check_product(context: Context, report: Report, process: str, coefficient: str) -> None:
    path: Path = ("processes", process, "coefficient")
    try:
        tree = parse_coefficient(coefficient)
    except ExpressionError:
        return  # reported with the processes
    factors = _factors(tree)
    if factors is None or len(set(factors)) != len(factors):
        message = f"the coefficient of '{process}' is not a product of different parameters, as pyhf needs it"
        report.add(path, "spec.publication", message, found=coefficient, expected="e.g. 1, mu, 2 * mu * kappa")
        return
    for name in sorted(names(tree)):
        parameter = context.analysis.parameters.get(name)
        if parameter is not None and parameter.constraint != "none":
            message = f"the parameter '{name}' is constrained; pyhf has free factors only"
            report.add(path, "spec.publication", message, found=f"constraint: {parameter.constraint}")


def _factors(tree: Node) -> list[str] | None:
    """Return the parameters of a product; None where the tree is no product."""
    match tree:
        case Number(value=value):
            return [] if value > 0 else None
        case Name(name=name):
            return [name]
        case Binary(op="*", left=left, right=right):
            first, second = _factors(left), _factors(right)
            return None if first is None or second is None else first + second
        case Binary(op="/", left=left, right=Number(value=value)) if value > 0:
            return _factors(left)
    return None


def _check_pseudo_data(context: Context, report: Report) -> None:
    pseudo = context.analysis.pseudo_data
    if pseudo is None:
        return
    path: Path = ("pseudo_data",)
    check_reference(report, (*path, "region"), pseudo.region, "region", context.declared("selection", "regions"))
    processes = context.declared("processes")
    for name in pseudo.yields:
        check_reference(report, (*path, "yields", name), name, "process", processes)
    absent = [name for name in processes if name not in pseudo.yields]
    if absent and "yields" in context.body["pseudo_data"]:
        message = f"processes without a yield: {', '.join(absent)}"
        report.add((*path, "yields"), "spec.missing-key", message, expected="one yield for each process", key=True)
