"""`evercast.open_likelihood`: one way to open a neural bundle, a pyhf workspace, a run or a combination."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from evercast.artifacts.likelihood_source import LikelihoodSource, open_likelihood_source
from evercast.interop.likelihood_object import OpenedLikelihood
from evercast.interop.places import opened_place

__all__ = ["OpenedLikelihood", "open_likelihood"]


def open_likelihood(  # noqa: PLR0913 - one argument per question
    place: str | os.PathLike[str],
    *,
    likelihood: str | None = None,
    measurement: str | None = None,
    patch: str | None = None,
    patchset: str | os.PathLike[str] | None = None,
    interpolation: Mapping[str, str] | None = None,
    sha256: str | None = None,
    name: str | None = None,
    unblind: bool = False,
) -> OpenedLikelihood:
    """Return the likelihood at a path or a URL.

    Args:
        place: folder or archive (zip, tar, tar.gz) of a neural bundle; a pyhf workspace; the folder of a run; a
            combination document; or an https URL of an archive or a workspace, which is brought into the cache.
        likelihood: which likelihood of a run.
        measurement: which measurement of a workspace; None takes the first.
        patch: of a workspace: a file with a JSON patch, or the name of one in `patchset`.
        patchset: a pyhf patchset.
        interpolation: of modifiers of a workspace: ``{"normsys": "code1"}``.
        sha256: digest that the file at `place` must have; with it a URL is fetched once.
        name: another name for the likelihood.
        unblind: data of blind channels may be looked at.

    Raises:
        InvalidInput: nothing is there, or it is no likelihood; ``source.url``; ``format.unknown-version``.
        IntegrityError: a file is damaged, missing or not named in the manifest; ``source.checksum``; an archive that
            is not safe to unpack (``unpack.*``).
        EnvironmentUnfit: the network is not allowed or does not answer; the disk is full.
        UsageError: arguments do not fit the kind of likelihood.
    """
    opened = opened_place(str(place) if isinstance(place, str) else os.fspath(place), sha256=sha256)
    source = LikelihoodSource(
        path=opened.path, name=likelihood, measurement=measurement, patch=patch,
        patchset=None if patchset is None else Path(patchset), interpolation=interpolation,
        compared=bool(opened.manifest),
    )  # fmt: skip
    model = open_likelihood_source(source)
    name = name or opened.name
    return OpenedLikelihood(model if name is None else replace(model, name=name), opened=opened, unblind=unblind)
