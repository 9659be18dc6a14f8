"""``evercast fit``: best values and uncertainties."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json

import click

from evercast.cli.likelihoods import Source, likelihood_options

__all__ = ["command"]


@click.command(epilog="Example: evercast fit results/h4l --likelihood binned --expected")
@likelihood_options
def command(
    *,
    source: Source,
    poi: str | None,
    observed: bool,
    as_json: bool,
) -> None:
    """Fit LIKELIHOOD: best values with uncertainties from the Hessian.

    LIKELIHOOD is a pyhf workspace, a neural bundle, or the folder of a run.
    """
    from evercast.cli.likelihoods import load
    from evercast.cli.tables import fit_table
    from evercast.inference.fit import fit, poi_of
    from evercast.inference.outcome_json import fit_to_json, guard_to_json

    compiled = load(source, observed=observed)
    chosen = poi_of(compiled, poi) if poi or compiled.model.poi else None
    result = fit(compiled)
    if as_json:
        body = {
            "likelihood": compiled.model.name, "poi": chosen, "asimov": compiled.model.asimov, "status": result.status,
            "guard": guard_to_json(result.guard), **fit_to_json(result),
        }  # fmt: skip
        click.echo(json.dumps(body, indent=1, allow_nan=False))
        return
    click.echo(fit_table(compiled.model, result, poi=chosen))
