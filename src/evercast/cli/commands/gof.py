"""``evercast gof``: goodness of fit."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evercast.cli.statistics import load_data, print_json, statistics_options, toys_option

if TYPE_CHECKING:
    from evercast.artifacts.likelihood_source import LikelihoodSource

__all__ = ["command"]


@click.command(epilog="Example: evercast gof workspace.json --toys 500")
@statistics_options
@toys_option
def command(
    *,
    source: LikelihoodSource,
    poi: str | None,
    observed: bool,
    as_json: bool,
    unblind: bool,
    toys: int,
    seed: int,
) -> None:
    """Goodness of fit of LIKELIHOOD: saturated model for bins, energy test for unbinned channels; p-values from toys.

    LIKELIHOOD is a pyhf workspace, a neural bundle, the folder of a run, or a combination document. Without
    --toys, only bins get a p-value (chi2).
    """
    from evercast.cli.statistics_tables import goodness_table
    from evercast.inference.fit import fit, poi_of
    from evercast.inference.goodness import goodness_of_fit
    from evercast.inference.outcome_json import goodness_to_json, guard_to_json

    compiled = load_data(source, observed=observed, unblind=unblind)
    if poi is not None:
        poi_of(compiled, poi)
    best = fit(compiled)
    result = goodness_of_fit(compiled, best=best, n_toys=toys, seed=seed)
    if as_json:
        head = {"likelihood": compiled.model.name, "asimov": compiled.model.asimov, "guard": guard_to_json(best.guard)}
        print_json({**head, **goodness_to_json(result)})
        return
    click.echo(goodness_table(compiled.model, best, result))
