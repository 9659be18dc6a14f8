"""What the statistics commands share: blinding, seeds, and JSON of what several of them give."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from evercast.cli.likelihoods import likelihood_options
from evercast.errors import UsageError

if TYPE_CHECKING:
    from evercast.artifacts.likelihood_source import LikelihoodSource
    from evercast.likelihood.evaluate import Likelihood

__all__ = [
    "DEFAULT_SEED", "DEFAULT_TOYS", "load_data", "print_json", "regime_options", "seed_option", "statistics_options",
    "toys_option", "toys_wanted",
]  # fmt: skip

DEFAULT_SEED = 1
DEFAULT_TOYS = 1000

_unblind = click.option("--unblind", is_flag=True, help="Look at the data of blind channels.")
_toys = click.option(
    "--toys", type=click.IntRange(0), default=0, metavar="N", help="Use N pseudo-experiments. [default: asymptotic]"
)
_some_toys = click.option(
    "--toys", type=click.IntRange(0), default=0, metavar="N",
    help="Use N pseudo-experiments. [default: none; 1000 where --regime asks for some]",
)  # fmt: skip
_regime = click.option(
    "--regime", type=click.Choice(["asymptotic", "auto", "toys"]),
    help="auto: pseudo-experiments where a channel expects fewer than 5 events or has none, asymptotic formulas "
    "elsewhere. [default: toys with --toys, otherwise asymptotic]",
)  # fmt: skip
_seed = click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Of pseudo-experiments.")


def statistics_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the argument LIKELIHOOD, its options (`likelihood_options`) and ``--unblind``."""
    return likelihood_options(_unblind(function))


def toys_option(function: Callable[..., None]) -> Callable[..., None]:
    """Add ``--toys N`` and ``--seed``."""
    return _toys(_seed(function))


def regime_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add ``--regime``, ``--toys N`` and ``--seed``; see `toys_wanted`."""
    return _regime(_some_toys(_seed(function)))


def toys_wanted(
    likelihood: Likelihood, *, regime: str | None, toys: int, poi: str | None, observed: bool = True
) -> int:
    """Return how many pseudo-experiments to throw; 0 for asymptotic formulas.

    Args:
        likelihood: that is tested.
        regime: of the option; None: toys where a number is given.
        toys: of the option; 0 where it was not given.
        poi: parameter of interest; None takes the declared one.
        observed: the data may be looked at.

    Raises:
        UsageError: a number of toys with the asymptotic regime.
        NumericalFailure: ``auto``, and the fit without signal failed.
    """
    from evercast.inference.regime import few_events_without_signal

    if regime is None:
        return toys
    if regime == "asymptotic":
        if toys:
            raise UsageError("--toys does not go with --regime asymptotic")
        return 0
    wanted = toys or DEFAULT_TOYS
    return wanted if regime == "toys" or few_events_without_signal(likelihood, poi=poi, observed=observed) else 0


def seed_option(function: Callable[..., None]) -> Callable[..., None]:
    """Add ``--seed``."""
    return _seed(function)


def load_data(source: LikelihoodSource, *, observed: bool, unblind: bool, keep_data: bool = False) -> Likelihood:
    """Return the compiled likelihood with its own data, or Asimov data at the initial values.

    Args:
        source: what the argument and its options name.
        observed: the data are used; refused where a channel is blind.
        unblind: blind channels are looked at.
        keep_data: with `observed` False, the data stay in place (the caller leaves them out itself).

    Raises:
        InvalidInput: what was named does not exist or is no likelihood; ``likelihood.blind``.
        IntegrityError: a bundle or a run is damaged, or a patchset belongs to another workspace.
    """
    from evercast.artifacts.likelihood_source import open_likelihood_source
    from evercast.inference.asimov import asimov_model
    from evercast.inference.blinding import refuse_blind
    from evercast.likelihood.evaluate import Likelihood

    model = open_likelihood_source(source)
    if observed and not unblind:
        refuse_blind(model)
    likelihood = Likelihood(model)
    if observed or keep_data:
        return likelihood
    return Likelihood(asimov_model(likelihood, likelihood.initial))


def print_json(body: Mapping[str, object]) -> None:
    """Print a result; NaN and infinity never leave."""
    click.echo(json.dumps(body, indent=1, allow_nan=False))
