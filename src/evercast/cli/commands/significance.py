"""``evercast significance``: how much the data deviate from the absence of the signal."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evercast.cli.requests import check_signal
from evercast.cli.statistics import load_data, print_json, regime_options, statistics_options, toys_wanted

if TYPE_CHECKING:
    from evercast.artifacts.likelihood_source import LikelihoodSource

__all__ = ["command"]


@click.command(epilog="Example: evercast significance results/h4l --likelihood neural --json")
@statistics_options
@regime_options
def command(
    *,
    source: LikelihoodSource,
    poi: str | None,
    observed: bool,
    as_json: bool,
    unblind: bool,
    regime: str | None,
    toys: int,
    seed: int,
) -> None:
    """Significance of LIKELIHOOD against the absence of the signal (q0), asymptotic; with --toys also from toys.

    LIKELIHOOD is a pyhf workspace, a neural bundle, the folder of a run, or a combination document.
    """
    from evercast.cli.statistics_tables import toy_significance_lines
    from evercast.cli.tables import significance_table
    from evercast.inference.asymptotics import guards_to_json, significance
    from evercast.inference.fit import poi_of
    from evercast.inference.outcome_json import significance_to_json
    from evercast.inference.profile import Profile
    from evercast.inference.toy_tests import significance_from_toys

    compiled = load_data(source, observed=observed, unblind=unblind)
    check_signal(compiled.model, poi)
    chosen = poi_of(compiled, poi)
    toys = toys_wanted(compiled, regime=regime, toys=toys, poi=chosen)
    profile = Profile(compiled, chosen)
    result = significance(compiled, profile=profile)
    thrown = significance_from_toys(compiled, n_toys=toys, seed=seed, profile=profile) if toys else None
    if as_json:
        body: dict[str, object] = {
            "likelihood": compiled.model.name, "poi": chosen, "asimov": compiled.model.asimov, "status": result.status,
            "guard": guards_to_json(result.fits), "poi_hat": result.poi_hat, **significance_to_json(result),
            "remarks": list(result.remarks),
        }  # fmt: skip
        if thrown is not None:
            body["toys"] = {
                "p": thrown.p, "p_error": thrown.p_error, "z": thrown.z, "bound": thrown.bound,
                "toys": thrown.n_toys, "failed": thrown.n_failed, "seed": seed,
                "remarks": list(thrown.remarks),
            }  # fmt: skip
        print_json(body)
        return
    text = significance_table(compiled.model, result, poi=chosen)
    click.echo(text if thrown is None else toy_significance_lines(text, thrown))
