"""``evercast scan``: the profile likelihood of the parameter of interest."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evercast.cli.likelihoods import Source, likelihood_options
from evercast.errors import UsageError

if TYPE_CHECKING:
    from evercast.likelihood.evaluate import Likelihood

__all__ = ["command"]


@click.command(epilog="Example: evercast scan workspace.json --range 0 3 --points 31 --json")
@likelihood_options
@click.option("--points", type=click.IntRange(2, 10_000), default=21, show_default=True, help="Number of points.")
@click.option(
    "--range", "limits", type=float, nargs=2, metavar="LOW HIGH", help="[default: three sigma around the best fit]"
)
@click.option("--cl", "level", type=float, default=0.6827, show_default=True, help="Confidence level of the interval.")
def command(
    *,
    source: Source,
    poi: str | None,
    observed: bool,
    as_json: bool,
    points: int,
    limits: tuple[float, float] | None,
    level: float,
) -> None:
    """Scan t = -2 ln of the profile likelihood ratio of LIKELIHOOD, and give the interval.

    LIKELIHOOD is a pyhf workspace, a neural bundle, or the folder of a run.
    """
    import numpy as np

    from evercast.cli.likelihoods import load
    from evercast.cli.tables import scan_table
    from evercast.inference.fit import poi_of
    from evercast.inference.outcome_json import guard_to_json, interval_to_json, scan_to_json
    from evercast.inference.profile import Profile, scan_range

    if limits is not None and not (np.isfinite(limits).all() and limits[0] < limits[1]):
        raise UsageError(f"--range {limits[0]} {limits[1]}: two finite numbers are needed, the first below the second")
    compiled = load(source, observed=observed)
    chosen = poi_of(compiled, poi)
    _check_range(compiled, chosen, limits)
    profile = Profile(compiled, chosen)
    low, high = limits or scan_range(profile, compiled)
    scan = profile.scan(np.linspace(low, high, points).tolist())
    interval = profile.interval(level, scan=scan)
    if as_json:
        body = {
            "likelihood": compiled.model.name, "poi": profile.poi, "asimov": compiled.model.asimov,
            "status": profile.best.status, "guard": guard_to_json(profile.best.guard), "best": profile.poi_hat,
            "interval": interval_to_json(interval), "scan": scan_to_json(scan),
        }  # fmt: skip
        click.echo(json.dumps(body, indent=1, allow_nan=False))
        return
    click.echo(scan_table(compiled.model, profile.best, scan, interval))


def _check_range(compiled: Likelihood, poi: str, limits: tuple[float, float] | None) -> None:
    place = compiled.index(poi)
    low, high = float(compiled.lower[place]), float(compiled.upper[place])
    if limits is not None and not low <= limits[0] < limits[1] <= high:
        message = f"--range {limits[0]:g} {limits[1]:g} leaves the bounds of {poi}, {low:g} to {high:g}"
        raise UsageError(message)
