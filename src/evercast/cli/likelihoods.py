"""The LIKELIHOOD argument of the statistics commands, and the options they share."""

# ruff: noqa: PLC0415 - what is heavy is imported only when the command runs

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evercast.errors import IntegrityError, InvalidInput, UsageError

if TYPE_CHECKING:
    from evercast.likelihood.evaluate import Likelihood
    from evercast.likelihood.model import LikelihoodModel

__all__ = ["Source", "likelihood_options", "load", "open_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the argument and its options name.

    Args:
        path: a pyhf workspace, a neural bundle, or the folder of a run.
        name: which likelihood of a run.
        measurement: which measurement of a workspace.
        patch: a file with a JSON patch, or the name of one in `patchset`.
    """

    path: Path
    name: str | None = None
    measurement: str | None = None
    patch: str | None = None
    patchset: Path | None = None


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
        **options: object,
    ) -> None:
        source = Source(path=likelihood, name=name, measurement=measurement, patch=patch, patchset=patchset)
        function(source=source, **options)

    decorated: Callable[..., None] = wrapped
    for decorate in reversed(
        (
            click.argument("likelihood", type=click.Path(path_type=Path)),
            click.option("--likelihood", "name", metavar="NAME", help="Which likelihood of a run."),
            click.option("--measurement", metavar="NAME", help="Measurement of a workspace [default: first]."),
            click.option("--patch", metavar="FILE|NAME", help="JSON patch, or its name in --patchset."),
            click.option("--patchset", type=click.Path(path_type=Path), help="File of patches (pyhf patchset)."),
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
    if not source.path.exists():
        raise InvalidInput(f"{source.path} does not exist", code="likelihood.missing")
    if source.path.is_dir():
        if source.patch or source.patchset or source.measurement:
            raise UsageError("--patch, --patchset and --measurement need a workspace file; a folder was given")
        return _open_folder(source.path, source.name)
    from evercast.likelihood.histfactory import read_workspace

    body = _read_object(source.path)
    if not {"channels", "observations", "measurements"} & set(body) or "schema" in body:
        raise InvalidInput(
            f"{source.path} is no pyhf workspace: it has the keys {', '.join(sorted(map(str, body))[:8])}",
            code="likelihood.missing",
            hint="give a workspace file, the folder of a neural bundle, or the folder of a run",
        )
    workspace = _patched(body, source)
    name = source.path.stem if source.patch is None else f"{source.path.stem} + {Path(source.patch).stem}"
    return read_workspace(workspace, measurement=source.measurement, name=name)


def _open_folder(path: Path, name: str | None) -> LikelihoodModel:
    from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE, read_likelihood
    from evercast.artifacts.likelihood_folder import INDEX_FILE, open_likelihood, read_index

    for folder in (path, path / "likelihood"):
        if not (folder / INDEX_FILE).is_file():
            continue
        names = list(read_index(folder).likelihoods)
        if name is None and len(names) != 1:
            raise UsageError(f"the run holds the likelihoods {', '.join(names)}; choose one with --likelihood NAME")
        return open_likelihood(folder, name or names[0])
    if (path / LIKELIHOOD_FILE).is_file():
        return read_likelihood(path)
    message = f"{path} holds neither a neural bundle ({LIKELIHOOD_FILE}) nor a run (likelihood/{INDEX_FILE})"
    raise InvalidInput(
        message, code="likelihood.missing", hint="give a workspace file, a bundle or the folder of a run"
    )


def _patched(workspace: Mapping[str, object], source: Source) -> Mapping[str, object]:
    from evercast.likelihood.histfactory import apply_patch, patch_of_set

    if source.patch is None:
        if source.patchset is not None:
            raise UsageError("--patchset needs --patch NAME")
        return workspace
    if source.patchset is not None:
        patchset = _read_object(source.patchset)
        _check_patchset(workspace, patchset, source)
        return apply_patch(workspace, patch_of_set(patchset, source.patch))
    patch = _read(Path(source.patch))
    if not isinstance(patch, list):
        hint = "a patchset is given with --patchset FILE --patch NAME"
        raise InvalidInput("a JSON patch must be a list", code="workspace.patch", where=source.patch, hint=hint)
    return apply_patch(workspace, patch)


def _check_patchset(workspace: Mapping[str, object], patchset: Mapping[str, object], source: Source) -> None:
    """Compare the digest of the workspace, as pyhf defines it, with the one the patchset is made for."""
    metadata = patchset.get("metadata")
    digests = metadata.get("digests") if isinstance(metadata, Mapping) else None
    wanted = digests.get("sha256") if isinstance(digests, Mapping) else None
    if not isinstance(wanted, str):
        return
    text = json.dumps(workspace, sort_keys=True, ensure_ascii=False)
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != wanted:
        message = f"the patchset is made for a workspace with sha256 {wanted}; this one has {found}"
        raise IntegrityError(message, code="workspace.patchset-digest", where=str(source.patchset))


def _read_object(path: Path) -> Mapping[str, object]:
    value = _read(path)
    if not isinstance(value, dict):
        raise InvalidInput("expected a JSON object", code="workspace.invalid", where=str(path))
    return value


def _read(path: Path) -> object:
    """Return the JSON value of a file of the user; every fault is an input error."""
    from evercast.artifacts.files import read_json

    if not path.is_file():
        raise InvalidInput(f"{path} does not exist or is not a file", code="likelihood.missing")
    try:
        return read_json(path)
    except IntegrityError as err:
        raise InvalidInput(err.message, code="workspace.not-json") from err
