"""``evercast significance``: how much the data deviate from the absence of the signal."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json

import click

from evercast.cli.likelihoods import Source, likelihood_options

__all__ = ["command"]


@click.command(epilog="Example: evercast significance results/h4l --likelihood neural --json")
@likelihood_options
def command(
    *,
    source: Source,
    poi: str | None,
    observed: bool,
    as_json: bool,
) -> None:
    """Significance of LIKELIHOOD against the absence of the signal (q0, asymptotic).

    LIKELIHOOD is a pyhf workspace, a neural bundle, or the folder of a run.
    """
    from evercast.cli.likelihoods import load
    from evercast.cli.tables import significance_table
    from evercast.inference.asymptotics import guards_to_json, significance
    from evercast.inference.fit import poi_of
    from evercast.inference.outcome_json import significance_to_json

    compiled = load(source, observed=observed)
    chosen = poi_of(compiled, poi)
    result = significance(compiled, poi=chosen)
    if as_json:
        body = {
            "likelihood": compiled.model.name, "poi": chosen, "asimov": compiled.model.asimov, "status": result.status,
            "guard": guards_to_json(result.fits), "poi_hat": result.poi_hat, **significance_to_json(result),
        }  # fmt: skip
        click.echo(json.dumps(body, indent=1, allow_nan=False))
        return
    click.echo(significance_table(compiled.model, result, poi=chosen))
