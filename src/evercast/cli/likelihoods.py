"""The LIKELIHOOD argument of the statistics commands, and the options they share."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click

from evercast.errors import UsageError

__all__ = ["likelihood_options"]


def likelihood_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the argument LIKELIHOOD and its options; the function is called with them as `source` (a `LikelihoodSource`).

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
        from evercast.artifacts.likelihood_source import LikelihoodSource

        source = LikelihoodSource(
            path=likelihood, name=name, measurement=measurement, patch=patch, patchset=patchset,
            parametrisation=parametrisation, interpolation=dict(_code(text) for text in interpolation),
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
