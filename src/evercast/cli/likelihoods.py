"""The LIKELIHOOD argument of the statistics commands, and the options they share."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercast.errors import UsageError

if TYPE_CHECKING:
    from evercast.artifacts.likelihood_source import LikelihoodSource
    from evercast.likelihood.evaluate import Likelihood
    from evercast.likelihood.model import LikelihoodModel

__all__ = ["Source", "likelihood_options", "load", "located", "open_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the argument and its options name.

    Args:
        path: a pyhf workspace, a neural bundle, the folder of a run, or a combination document.
        name: which likelihood of a run.
        measurement: which measurement of a workspace.
        patch: a file with a JSON patch, or the name of one in `patchset`.
        patchset: a pyhf patchset.
        parametrisation: a document with other parameters and coefficients.
        interpolation: pairs of a kind of modifier and its interpolation code.
    """

    path: Path
    name: str | None = None
    measurement: str | None = None
    patch: str | None = None
    patchset: Path | None = None
    parametrisation: Path | None = None
    interpolation: tuple[tuple[str, str], ...] = ()


def likelihood_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the argument LIKELIHOOD and its options; the function is called with them as `source`.

    Besides, it gets `poi`, `observed` and `as_json`.
    """

    @wraps(function)
    def wrapped(
        *,
        likelihood: Path,
        name: str | None,
        measurement: str | None,
        patch: str | None,
        patchset: Path | None,
        parametrisation: Path | None,
        interpolation: tuple[str, ...],
        **options: object,
    ) -> None:
        source = Source(
            path=likelihood, name=name, measurement=measurement, patch=patch, patchset=patchset,
            parametrisation=parametrisation, interpolation=tuple(_code(text) for text in interpolation),
        )  # fmt: skip
        function(source=source, **options)

    decorated: Callable[..., None] = wrapped
    for decorate in reversed(
        (
            click.argument("likelihood", type=click.Path(path_type=Path)),
            click.option("--likelihood", "name", metavar="NAME", help="Which likelihood of a run."),
            click.option("--measurement", metavar="NAME", help="Measurement of a workspace [default: first]."),
            click.option("--patch", metavar="FILE|NAME", help="JSON patch, or its name in --patchset."),
            click.option("--patchset", type=click.Path(path_type=Path), help="File of patches (pyhf patchset)."),
            click.option(
                "--parametrisation", type=click.Path(path_type=Path),
                help="Document with other parameters and coefficients of the processes.",
            ),
            click.option(
                "--interpolation", metavar="KIND=CODE", multiple=True,
                help="Interpolation of a workspace's normsys or histosys. [default: normsys=code4, histosys=code4p]",
            ),
            click.option("--poi", metavar="PARAMETER", help="Parameter of interest [default: the declared one]."),
            click.option(
                "--observed/--expected", "observed", default=True,
                help="The data, or Asimov data of the nominal model. [default: observed]",
            ),
            click.option("--json", "as_json", is_flag=True, help="JSON on stdout."),
        )
    ):  # fmt: skip
        decorated = decorate(decorated)
    return decorated


def _code(text: str) -> tuple[str, str]:
    kind, sign, code = text.partition("=")
    if not (kind and sign and code):
        raise UsageError(f"--interpolation takes KIND=CODE, e.g. normsys=code1; found '{text}'")
    return kind, code


def load(source: Source, *, observed: bool) -> Likelihood:
    """Return the compiled likelihood, with its own data or Asimov data at the initial values.

    Raises:
        InvalidInput: what was named does not exist or is not a likelihood.
        IntegrityError: a bundle or a run is damaged, or a patchset belongs to another workspace.
    """
    from evercast.inference.asimov import asimov_model
    from evercast.likelihood.evaluate import Likelihood

    likelihood = Likelihood(open_source(source))
    return likelihood if observed else Likelihood(asimov_model(likelihood, likelihood.initial))


def open_source(source: Source) -> LikelihoodModel:
    """Return the likelihood model that the argument and its options name.

    Raises:
        InvalidInput: what was named does not exist or is not a likelihood.
        UsageError: options do not fit the kind of likelihood.
        IntegrityError: a bundle or a run is damaged, or a patchset belongs to another workspace.
    """
    from evercast.artifacts.likelihood_source import open_likelihood_source

    return open_likelihood_source(located(source))


def located(source: Source) -> LikelihoodSource:
    """Return the source in the form that reads it."""
    from evercast.artifacts.likelihood_source import LikelihoodSource

    return LikelihoodSource(
        path=source.path, name=source.name, measurement=source.measurement, patch=source.patch,
        patchset=source.patchset, parametrisation=source.parametrisation, interpolation=dict(source.interpolation),
    )  # fmt: skip
