"""``evercast cls``: CLs of one value of the parameter of interest."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json

import click

from evercast.cli.likelihoods import Source, likelihood_options

__all__ = ["command"]


@click.command(epilog="Example: evercast cls BkgOnly.json --patchset patchset.json --patch ERJR_300p0_100p0")
@likelihood_options
@click.option("--mu", type=float, default=1.0, show_default=True, help="Tested value of the parameter of interest.")
def command(
    *,
    source: Source,
    poi: str | None,
    observed: bool,
    as_json: bool,
    mu: float,
) -> None:
    """CLs of LIKELIHOOD at one signal strength (q-tilde, asymptotic), observed and expected.

    LIKELIHOOD is a pyhf workspace, a neural bundle, or the folder of a run. With --expected the data are not looked at.
    """
    from evercast.cli.likelihoods import load
    from evercast.cli.tables import cls_table
    from evercast.inference.asymptotics import cls, guards_to_json

    compiled = load(source, observed=True)
    result = cls(compiled, mu, poi=poi, observed=observed)
    if as_json:
        body = {
            "CLs_obs": result.cls_obs, "CLs_exp": list(result.cls_exp), "status": result.status,
            "guard": guards_to_json(result.fits), "poi": result.poi, "mu": mu, "poi_hat": result.poi_hat,
            "qtilde": result.q, "qtilde_asimov": result.q_asimov, "asimov": result.asimov,
        }  # fmt: skip
        click.echo(json.dumps(body, indent=1, allow_nan=False))
        return
    click.echo(cls_table(compiled.model, result))
