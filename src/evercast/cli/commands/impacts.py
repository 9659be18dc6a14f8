"""``evercast impacts``: what each nuisance parameter does to the parameter of interest."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercast.cli.statistics import load_data, print_json, statistics_options

if TYPE_CHECKING:
    from evercast.artifacts.likelihood_source import LikelihoodSource

__all__ = ["command"]


@click.command(epilog="Example: evercast impacts results/h4l --likelihood neural --plot impacts.png")
@statistics_options
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Write the ranking plot (png, pdf, svg).")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Parameters in plot and table.")
def command(
    *,
    source: LikelihoodSource,
    poi: str | None,
    observed: bool,
    as_json: bool,
    unblind: bool,
    plot: Path | None,
    top: int,
) -> None:
    """Impacts of the nuisance parameters of LIKELIHOOD by shifted global observables and by covariance, with pulls.

    LIKELIHOOD is a pyhf workspace, a neural bundle, the folder of a run, or a combination document.
    """
    from evercast.cli.statistics_tables import impact_table
    from evercast.inference.fit import fit, poi_of
    from evercast.inference.impacts import correlation_of, impacts_of
    from evercast.inference.outcome_json import correlation_to_json, guard_to_json, impact_to_json

    if plot is not None:
        from evercast.publication.plots.impacts import check_ending

        check_ending(plot)
    compiled = load_data(source, observed=observed, unblind=unblind)
    chosen = poi_of(compiled, poi)
    best = fit(compiled)
    impacts = impacts_of(compiled, best, poi=chosen)
    if plot is not None:
        from evercast.publication.plots.impacts import save_impacts

        save_impacts(plot, impacts[:top], best=best.parameter(chosen), asimov=compiled.model.asimov)
    if as_json:
        entry = best.parameter(chosen)
        print_json(
            {
                "likelihood": compiled.model.name, "poi": chosen, "asimov": compiled.model.asimov,
                "status": best.status, "guard": guard_to_json(best.guard), "best": entry.value,
                "uncertainty": entry.uncertainty, "impacts": [impact_to_json(impact) for impact in impacts],
                "correlation": correlation_to_json(correlation_of(best)),
            }
        )  # fmt: skip
        return
    click.echo(impact_table(compiled.model, best, impacts, poi=chosen, top=top))
