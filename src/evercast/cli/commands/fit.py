"""``evercast fit``: best values and uncertainties."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evercast.cli.distributed import Together, distributed_options, opened
from evercast.cli.statistics import print_json, statistics_options

if TYPE_CHECKING:
    from evercast.artifacts.likelihood_source import LikelihoodSource
    from evercast.likelihood.evaluate import Likelihood

__all__ = ["command"]


@click.command(epilog="Example: evercast fit results/h4l --likelihood binned --expected")
@statistics_options
@distributed_options
@click.option("--second-opinion", is_flag=True, help="Ask iminuit too, and report how its result differs.")
@click.option("--correlations", is_flag=True, help="Correlation matrix, in the JSON.")
def command(
    *,
    source: LikelihoodSource,
    together: Together,
    poi: str | None,
    observed: bool,
    as_json: bool,
    unblind: bool,
    second_opinion: bool,
    correlations: bool,
) -> None:
    """Fit LIKELIHOOD: best values with uncertainties from the Hessian.

    LIKELIHOOD is a pyhf workspace, a neural bundle, the folder of a run, or a combination document. With --distributed
    each process (srun -n N evercast fit ... --distributed) reads its own rows of the events of unbinned channels.
    """
    with opened(together, source, observed=observed, unblind=unblind, as_json=as_json) as compiled:
        _fit(compiled, poi, as_json=as_json, second_opinion=second_opinion, correlations=correlations)


def _fit(compiled: Likelihood, poi: str | None, *, as_json: bool, second_opinion: bool, correlations: bool) -> None:
    from evercast.cli.tables import fit_table
    from evercast.inference.fit import fit, poi_of
    from evercast.inference.impacts import correlation_of
    from evercast.inference.outcome_json import correlation_to_json, fit_to_json, guard_to_json

    chosen = poi_of(compiled, poi) if poi or compiled.model.poi else None
    result = fit(compiled, second=second_opinion)
    if as_json:
        body: dict[str, object] = {
            "likelihood": compiled.model.name, "poi": chosen, "asimov": compiled.model.asimov, "status": result.status,
            "guard": guard_to_json(result.guard), **fit_to_json(result),
        }  # fmt: skip
        if correlations:
            body["correlation"] = correlation_to_json(correlation_of(result))
        print_json(body)
        return
    click.echo(fit_table(compiled.model, result, poi=chosen))
