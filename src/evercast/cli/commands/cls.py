"""``evercast cls``: CLs of one value of the parameter of interest."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import click

from evercast.cli.likelihoods import Source
from evercast.cli.statistics import load_data, print_json, statistics_options, toys_option

__all__ = ["command"]


@click.command(epilog="Example: evercast cls BkgOnly.json --patchset patchset.json --patch ERJR_300p0_100p0")
@statistics_options
@click.option("--mu", type=float, default=1.0, show_default=True, help="Tested value of the parameter of interest.")
@toys_option
def command(
    *,
    source: Source,
    poi: str | None,
    observed: bool,
    as_json: bool,
    unblind: bool,
    mu: float,
    toys: int,
    seed: int,
) -> None:
    """CLs of LIKELIHOOD at one signal strength (q-tilde), observed and expected; asymptotic, or from toys.

    LIKELIHOOD is a pyhf workspace, a neural bundle, or the folder of a run. With --expected the data are not looked at.
    """
    from evercast.cli.statistics_tables import toy_cls_table
    from evercast.cli.tables import cls_table
    from evercast.inference.asymptotics import cls, guards_to_json
    from evercast.inference.toy_tests import cls_from_toys

    compiled = load_data(source, observed=observed, unblind=unblind, keep_data=True)
    if toys:
        found = cls_from_toys(compiled, mu, n_toys=toys, seed=seed, poi=poi, observed=observed)
        if as_json:
            print_json(
                {
                    "CLs_obs": found.cls_obs, "CLs_obs_error": found.cls_obs_error, "CLs_exp": list(found.cls_exp),
                    "status": found.status, "guard": guards_to_json(found.fits) if found.fits else None,
                    "method": "toys", "poi": found.poi, "mu": mu, "poi_hat": found.poi_hat, "qtilde": found.q,
                    "toys": found.n_toys, "failed": found.n_failed, "seed": seed, "sources": dict(found.sources),
                }
            )  # fmt: skip
            return
        click.echo(toy_cls_table(compiled.model, found))
        return
    result = cls(compiled, mu, poi=poi, observed=observed)
    if as_json:
        print_json(
            {
                "CLs_obs": result.cls_obs, "CLs_exp": list(result.cls_exp), "status": result.status,
                "guard": guards_to_json(result.fits), "method": "asymptotic", "poi": result.poi, "mu": mu,
                "poi_hat": result.poi_hat, "qtilde": result.q, "qtilde_asimov": result.q_asimov,
                "asimov": result.asimov, "remarks": list(result.remarks),
            }
        )  # fmt: skip
        return
    click.echo(cls_table(compiled.model, result))
