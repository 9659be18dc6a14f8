"""``evercast scan``: the profile likelihood of one parameter, or of two."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evercast.cli.distributed import Together, distributed_options, opened
from evercast.cli.requests import check_level
from evercast.cli.statistics import print_json, statistics_options
from evercast.errors import UsageError

if TYPE_CHECKING:
    from evercast.artifacts.likelihood_source import LikelihoodSource
    from evercast.inference.contours import Contour
    from evercast.likelihood.evaluate import Likelihood

__all__ = ["command"]

Range = tuple[float, float]


@click.command(epilog="Example: evercast scan workspace.json --range 0 3 --points 31 --json")
@statistics_options
@distributed_options
@click.option("--points", type=click.IntRange(2, 10_000), default=21, show_default=True, help="Number of points.")
@click.option(
    "--range", "limits", type=float, nargs=2, metavar="LOW HIGH", help="[default: three sigma around the best fit]"
)
@click.option("--cl", "level", type=float, default=0.6827, show_default=True, help="Confidence level of the interval.")
@click.option("--second", metavar="PARAMETER", help="A second parameter: a grid with contours at 68 and 95 %.")
@click.option("--second-range", "second_limits", type=float, nargs=2, metavar="LOW HIGH", help="Of the second one.")
def command(  # noqa: PLR0913 - one argument per option
    *,
    source: LikelihoodSource,
    together: Together,
    poi: str | None,
    observed: bool,
    as_json: bool,
    unblind: bool,
    points: int,
    limits: Range | None,
    level: float,
    second: str | None,
    second_limits: Range | None,
) -> None:
    """Scan t = -2 ln of the profile likelihood ratio of LIKELIHOOD: interval of one parameter, contours of two.

    LIKELIHOOD is a pyhf workspace, a neural bundle, the folder of a run, or a combination document. With --distributed
    each process (srun -n N evercast scan ... --distributed) reads its own rows of the events of unbinned channels.
    """
    from evercast.inference.fit import poi_of

    if second_limits is not None and second is None:
        raise UsageError("--second-range needs --second PARAMETER")
    check_level(level)
    with opened(together, source, observed=observed, unblind=unblind, as_json=as_json) as compiled:
        chosen = poi_of(compiled, poi)
        _check_range(compiled, chosen, "--range", limits)
        if second is None:
            _scan(compiled, chosen, points=points, limits=limits, level=level, as_json=as_json)
            return
        other = poi_of(compiled, second)
        _check_range(compiled, other, "--second-range", second_limits)
        _grid(compiled, (chosen, other), (limits, second_limits), points=points, as_json=as_json)


def _scan(compiled: Likelihood, poi: str, *, points: int, limits: Range | None, level: float, as_json: bool) -> None:
    import numpy as np

    from evercast.cli.tables import scan_table
    from evercast.inference.intervals import Interval
    from evercast.inference.minima import LocalMinimum, find_minima
    from evercast.inference.outcome import settled
    from evercast.inference.outcome_json import guard_to_json, interval_to_json, minimum_to_json, scan_to_json
    from evercast.inference.profile import Profile, Scan, scan_range

    profile = Profile(compiled, poi)

    def compute() -> tuple[Scan, Interval, tuple[LocalMinimum, ...]]:
        low, high = limits or scan_range(profile, compiled)
        scan = profile.scan(np.linspace(low, high, points).tolist())
        return scan, profile.interval(level, scan=scan), find_minima(compiled, profile, scan.minima)

    scan, interval, minima = settled(profile, compute)
    if as_json:
        print_json(
            {
                "likelihood": compiled.model.name, "poi": profile.poi, "asimov": compiled.model.asimov,
                "status": profile.best.status, "guard": guard_to_json(profile.best.guard), "best": profile.poi_hat,
                "interval": interval_to_json(interval), "scan": scan_to_json(scan),
                "minima": [minimum_to_json(entry) for entry in minima],
            }
        )  # fmt: skip
        return
    click.echo(scan_table(compiled.model, profile.best, scan, interval, minima))


def _grid(
    compiled: Likelihood,
    names: tuple[str, str],
    limits: tuple[Range | None, Range | None],
    *,
    points: int,
    as_json: bool,
) -> None:
    from evercast.cli.statistics_tables import contour_table
    from evercast.inference.contours import contour, contour_range
    from evercast.inference.fit import fit
    from evercast.inference.outcome_json import contour_to_json, guard_to_json

    best = fit(compiled)
    first, second = (given or contour_range(compiled, best, name) for name, given in zip(names, limits, strict=True))
    found: Contour = contour(compiled, *names, best=best, ranges=(first, second), points=points)
    if as_json:
        print_json(
            {
                "likelihood": compiled.model.name, "asimov": compiled.model.asimov, "status": found.best.status,
                "guard": guard_to_json(found.best.guard), **contour_to_json(found),
            }
        )  # fmt: skip
        return
    click.echo(contour_table(compiled.model, found))


def _check_range(compiled: Likelihood, name: str, option: str, limits: Range | None) -> None:
    import numpy as np

    if limits is None:
        return
    if not (np.isfinite(limits).all() and limits[0] < limits[1]):
        message = f"{option} {limits[0]} {limits[1]}: two finite numbers are needed, the first below the second"
        raise UsageError(message)
    place = compiled.index(name)
    low, high = float(compiled.lower[place]), float(compiled.upper[place])
    if not low <= limits[0] < limits[1] <= high:
        message = f"{option} {limits[0]:g} {limits[1]:g} leaves the bounds of {name}, {low:g} to {high:g}"
        raise UsageError(message)
