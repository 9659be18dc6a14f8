"""``evercast limit``: upper limits by CLs."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evercast.cli.requests import check_level, check_signal
from evercast.cli.statistics import load_data, print_json, regime_options, statistics_options, toys_wanted
from evercast.errors import UsageError

if TYPE_CHECKING:
    from evercast.artifacts.likelihood_source import LikelihoodSource

__all__ = ["command"]


@click.command(epilog="Example: evercast limit BkgOnly.json --patchset patchset.json --patch ERJR_350p0_0p0")
@statistics_options
@click.option("--cl", "level", type=float, default=0.95, show_default=True, help="Confidence level.")
@click.option("--statistic", type=click.Choice(["q-tilde", "q"]), default="q-tilde", show_default=True)
@regime_options
def command(  # noqa: PLR0913 - one argument per option
    *,
    source: LikelihoodSource,
    poi: str | None,
    observed: bool,
    as_json: bool,
    unblind: bool,
    level: float,
    statistic: str,
    regime: str | None,
    toys: int,
    seed: int,
) -> None:
    """Upper limit of LIKELIHOOD by CLs, observed and for five quantiles of the background; asymptotic, or from toys.

    LIKELIHOOD is a pyhf workspace, a neural bundle, the folder of a run, or a combination document. With
    --expected the data are not looked at.
    """
    from evercast.cli.statistics_tables import few_toys, limit_table
    from evercast.inference.asymptotics import guards_to_json
    from evercast.inference.limits import upper_limit
    from evercast.inference.outcome_json import limit_to_json
    from evercast.inference.toy_limits import limit_from_toys

    if (toys or regime not in {None, "asymptotic"}) and statistic != "q-tilde":
        raise UsageError("--toys and --regime go with --statistic q-tilde")
    check_level(level)
    compiled = load_data(source, observed=observed, unblind=unblind, keep_data=True)
    check_signal(compiled.model, poi)
    toys = toys_wanted(compiled, regime=regime, toys=toys, poi=poi, observed=observed)
    points: list[dict[str, object]] = []
    problems: list[str] = []
    if toys:
        result, tests = limit_from_toys(
            compiled, n_toys=toys, seed=seed, poi=poi, confidence_level=level, observed=observed
        )
        points = [
            {"mu": test.mu, "CLs_obs": test.cls_obs, "CLs_obs_error": test.cls_obs_error, "CLs_exp": list(test.cls_exp)}
            for test in tests
        ]
        problems = few_toys(toys, result.expected)
    else:
        result = upper_limit(
            compiled, poi=poi, confidence_level=level, observed=observed,
            statistic="q" if statistic == "q" else "q-tilde",
        )  # fmt: skip
    if as_json:
        body = {"likelihood": compiled.model.name, **limit_to_json(result), "guard": guards_to_json(result.fits)}
        print_json({**body, **({"points": points, "toys": toys, "seed": seed, "problems": problems} if toys else {})})
        return
    click.echo(limit_table(compiled.model, result, problems=problems))
