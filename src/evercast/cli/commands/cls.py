"""``evercast cls``: CLs of one value of the parameter of interest."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from evercast.cli.requests import check_signal, check_value
from evercast.cli.statistics import load_data, print_json, regime_options, statistics_options, toys_wanted
from evercast.errors import EvercastError, InvalidInput, NumericalFailure, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evercast.artifacts.likelihood_source import LikelihoodSource
    from evercast.inference.asymptotics import ClsResult
    from evercast.inference.patches import PatchResult
    from evercast.likelihood.model import LikelihoodModel

__all__ = ["command"]


@click.command(epilog="Example: evercast cls BkgOnly.json --patchset patchset.json --patch ERJR_300p0_100p0")
@statistics_options
@click.option("--mu", type=float, default=1.0, show_default=True, help="Tested value of the parameter of interest.")
@regime_options
@click.option(
    "--all", "every", is_flag=True, help="Every patch of --patchset (a patchset, or a folder of patch files)."
)
@click.pass_context
def command(  # noqa: PLR0913 - the options of the command
    context: click.Context,
    *,
    source: LikelihoodSource,
    poi: str | None,
    observed: bool,
    as_json: bool,
    unblind: bool,
    mu: float,
    regime: str | None,
    toys: int,
    seed: int,
    every: bool,
) -> None:
    """CLs of LIKELIHOOD at one signal strength (q-tilde), observed and expected; asymptotic, or from toys.

    LIKELIHOOD is a pyhf workspace, a neural bundle, the folder of a run, or a combination document. With --expected the
    data are not looked at. With --all one line for each patch (with --json one JSON object a line); one that fails has
    a reason and no number, and the exit code is then 7.
    """
    if every:
        if toys or regime not in {None, "asymptotic"}:
            raise UsageError("--all computes asymptotic values; --toys and --regime take one --patch")
        failed = _every_patch(source, mu=mu, poi=poi, observed=observed, as_json=as_json)
        context.exit(NumericalFailure.exit_code if failed else 0)
    from evercast.cli.statistics_tables import few_toys, toy_cls_table
    from evercast.cli.tables import cls_table
    from evercast.inference.asymptotics import cls, guards_to_json
    from evercast.inference.toy_tests import cls_from_toys

    compiled = load_data(source, observed=observed, unblind=unblind, keep_data=True)
    check_signal(compiled.model, poi)
    check_value(compiled.model, poi, mu if mu > 0 else None, option="--mu")
    thrown = toys_wanted(compiled, regime=regime, toys=toys, poi=poi, observed=observed)
    if thrown:
        found = cls_from_toys(compiled, mu, n_toys=thrown, seed=seed, poi=poi, observed=observed)
        if as_json:
            print_json(
                {
                    "CLs_obs": found.cls_obs, "CLs_obs_error": found.cls_obs_error, "CLs_exp": list(found.cls_exp),
                    "status": found.status, "guard": guards_to_json(found.fits) if found.fits else None,
                    "method": "toys", "poi": found.poi, "mu": mu, "poi_hat": found.poi_hat, "qtilde": found.q,
                    "toys": found.n_toys, "failed": found.n_failed, "seed": seed, "sources": dict(found.sources),
                    "problems": few_toys(found.n_toys, found.cls_exp), "remarks": list(found.remarks.values()),
                }
            )  # fmt: skip
            return
        click.echo(toy_cls_table(compiled.model, found))
        return
    result = cls(compiled, mu, poi=poi, observed=observed)
    if as_json:
        print_json(_to_json(result))
        return
    click.echo(cls_table(compiled.model, result))


def _to_json(result: ClsResult) -> dict[str, object]:
    from evercast.cli.tables import at_bound_of, cls_status
    from evercast.inference.asymptotics import guards_to_json

    few = [{"channel": name, "reason": reason} for name, reason in result.few_events.items()]
    return {
        "CLs_obs": result.cls_obs, "CLs_exp": list(result.cls_exp), "status": cls_status(result),
        "guard": guards_to_json(result.fits), "method": "asymptotic", "poi": result.poi, "mu": result.mu,
        "poi_hat": result.poi_hat, "qtilde": result.q, "qtilde_asimov": result.q_asimov, "asimov": result.asimov,
        "remarks": list(result.remarks), "at_bound": at_bound_of(result),
        "asymptotic": {"valid": not few, "channels": few},
    }  # fmt: skip


def _every_patch(source: LikelihoodSource, *, mu: float, poi: str | None, observed: bool, as_json: bool) -> int:
    """Print CLs of every patch as it is computed; return how many failed."""
    from tqdm import tqdm

    from evercast.artifacts.likelihood_source import open_patchset
    from evercast.inference.patches import cls_of_patches

    opened = open_patchset(source)
    names = list(opened.patches)

    def model_of(name: str) -> LikelihoodModel:
        model = opened.model(name)
        check_signal(model, poi)
        check_value(model, poi, mu if mu > 0 else None, option="--mu")
        return model

    _check_request(names, model_of)
    results = cls_of_patches(names, model_of, mu=mu, poi=poi, observed=observed)
    width = max(map(len, names))
    if not as_json:
        click.echo(f"{'patch':<{width}}  {'CLs obs':>10}  {'CLs exp':>10}  status")
    failed = 0
    for found in tqdm(results, total=len(names), unit="patch", disable=not sys.stderr.isatty(), leave=False):
        failed += found.result is None
        line = json.dumps(_line(found), allow_nan=False) if as_json else _row(found, width)
        tqdm.write(line, file=sys.stdout)
    if failed:
        click.echo(f"{failed} of {len(names)} patches failed", err=True)
    return failed


def _check_request(names: Sequence[str], model_of: Callable[[str], LikelihoodModel]) -> None:
    """Refuse once, before any fit, what the options ask of the likelihood where no patch can give it.

    Raises:
        InvalidInput: of the first patch; an unknown parameter of interest, a value out of its bounds.
    """
    refusal: InvalidInput | None = None
    for name in names:
        try:
            model_of(name)
        except InvalidInput as err:
            refusal = refusal or (err if err.code.startswith("poi.") or err.code == "fit.poi" else None)
        except EvercastError:
            continue
        else:
            return
    if refusal is not None:
        raise refusal


def _line(found: PatchResult) -> dict[str, object]:
    if found.result is None:
        error = None if found.failure is None else found.failure.to_json()
        return {"patch": found.name, "status": found.status, "error": error}
    return {"patch": found.name, **_to_json(found.result)}


def _row(found: PatchResult, width: int) -> str:
    from evercast.cli.tables import cls_status

    result = found.result
    if result is None:
        return f"{found.name:<{width}}  {'-':>10}  {'-':>10}  failed: {found.failure}"
    observed = "-" if result.cls_obs is None else f"{result.cls_obs:.5g}"
    few = f"; few events in {', '.join(result.few_events)}" if result.few_events else ""
    return f"{found.name:<{width}}  {observed:>10}  {result.cls_exp[2]:>10.5g}  {cls_status(result)}{few}"
