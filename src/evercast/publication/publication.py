"""``evercast publish``: everything that a finished run gives to the public, made whole or not at all.

A part writes below its own folder of the publication; parts are made in order, so that a later one finds what earlier
ones wrote. The whole is made in a temporary folder beside the target and renamed. What stands there already is never
changed: a part with equal content is left alone, one with other content refused, one that is missing is added.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.artifacts.bundle_open import SIGNATURE_FILE, SUMS_FILE
from evercast.artifacts.files import disk_errors
from evercast.artifacts.signatures import sign_file
from evercast.errors import UsageError
from evercast.publication.archive_pack import write_archive
from evercast.publication.bundle import assemble_bundle
from evercast.publication.bundle_context import PublicationContext
from evercast.publication.hepdata import write_hepdata
from evercast.publication.placement import parts_there, place_parts, tree_digests
from evercast.publication.publication_source import open_run
from evercast.publication.pyhf_files import write_pyhf
from evercast.publication.secrets_scan import refuse_secrets

__all__ = ["PARTS", "Part", "Publication", "PublicationRequest", "publish"]

Part = Callable[[Path, PublicationContext], None]
"""Writes its files; the first argument is the folder of the whole publication, which holds what earlier parts wrote."""


def write_bundles(root: Path, context: PublicationContext) -> None:
    """Write the bundle of every neural likelihood as ``bundles/NAME``."""
    for name, bundle in context.bundles.items():
        folder = root / "bundles" / name
        with disk_errors(folder):
            folder.mkdir(parents=True)
        assemble_bundle(folder, bundle)
        if context.key is not None:
            sign_file(folder / SUMS_FILE, key=context.key, signature=folder / SIGNATURE_FILE)


PARTS: Final[tuple[tuple[str, Part], ...]] = (
    ("bundles", write_bundles),
    ("pyhf", write_pyhf),
    ("hepdata", write_hepdata),
    ("archive", write_archive),
)
"""Name of the part and of its folder -> who writes it, in order. Each has a line of its own."""

_KNOWN: Final = tuple(name for name, _ in PARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationRequest:
    """What is to be published.

    Args:
        document: the analysis document.
        results: the run folder; None: ``results/NAME`` under the current folder.
        output: the folder to make; None: ``publication`` in the run folder.
        likelihoods: only these; empty: all that the document publishes.
        parts: only these of `PARTS`; empty: all.
        key: PEM file of a private Ed25519 key to sign with.
        plan: frozen ``plan.json`` of the document, where the run folder holds several; None: of the last run.
    """

    document: Path
    results: Path | None = None
    output: Path | None = None
    likelihoods: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    key: Path | None = None
    plan: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What was published.

    Args:
        folder: where it is.
        written: False where the same stood there already.
        files: path below `folder` -> sha256.
        size_bytes: of all files together.
    """

    folder: Path
    written: bool
    files: dict[str, str]
    size_bytes: int


def publish(request: PublicationRequest) -> Publication:
    """Publish a finished run.

    Raises:
        UsageError: ``publication.part``: there is no such part.
        RunFailed: ``run.incomplete``: a unit of the plan has not been run.
        InvalidInput: the document is not valid; it may not be published (`open_run`); ``publication.exists``: other
            content stands at the output.
        IntegrityError: a file of the run is not what its receipt says; ``publication.secret``.
        EnvironmentUnfit: the disk refuses; nothing is left of the attempt.
        EvercastError: as each part says.
    """
    asked = [name for name, _ in _parts(request.parts)]
    context = open_run(
        request.document, results=request.results, likelihoods=request.likelihoods, key=request.key, plan=request.plan
    )
    output = request.output if request.output is not None else context.frozen.folder.root / "publication"
    parts = _with_earlier(asked, parts_there(output, _KNOWN))
    temporary = _attempt(output)
    with disk_errors(temporary):
        temporary.mkdir(parents=True)
    try:
        for _, write in parts:
            write(temporary, context)
        refuse_secrets(temporary)
        made = tree_digests(temporary)
        written = place_parts(temporary, output, made, _KNOWN)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    files = {name: digest for name, digest in made.items() if name.partition("/")[0] in asked}
    size = sum((output / name).stat().st_size for name in files)
    return Publication(folder=output, written=written, files=files, size_bytes=size)


def _attempt(output: Path) -> Path:
    """Return the folder to prepare a publication in, after what killed attempts on this machine left was removed."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
    start, end = f".{output.name}.{host}-", ".tmp"
    for left in output.parent.glob(f"{start}*{end}"):
        number = left.name.removeprefix(start).removesuffix(end)
        if number.isdecimal() and (int(number) == os.getpid() or not Path(f"/proc/{number}").exists()):
            shutil.rmtree(left, ignore_errors=True)
    return output.with_name(f"{start}{os.getpid()}{end}")


def _parts(names: Sequence[str]) -> tuple[tuple[str, Part], ...]:
    wrong = [name for name in names if name not in _KNOWN]
    if wrong:
        message = f"there is no part {wrong[0]!r} of a publication; there are: {', '.join(_KNOWN)}"
        raise UsageError(message, code="publication.part")
    return tuple((name, write) for name, write in PARTS if not names or name in names)


def _with_earlier(asked: Sequence[str], there: Sequence[str]) -> tuple[tuple[str, Part], ...]:
    """Return the parts to make: a part has the content that it has in a whole publication with those that are there.

    What is there may be changed or of another run, so that it is made again and compared, not taken.
    """
    last = max(_KNOWN.index(name) for name in asked)
    return tuple(
        (name, write) for place, (name, write) in enumerate(PARTS) if name in asked or (name in there and place < last)
    )
