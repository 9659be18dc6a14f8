"""Files beside the document: paths that cannot escape, files that exist and have the declared digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from pathlib import PurePosixPath

from evercast.spec.checks.context import Context
from evercast.spec.containers import is_image_name, is_registry_reference, registry_reference
from evercast.spec.report import Path, Report, shown

__all__ = ["check_files", "unsafe_reason"]


def unsafe_reason(text: str) -> str | None:
    """Return why a path must not be opened; None where it stays below the folder of the document.

    Example:
        >>> unsafe_reason("../x")
        "it leaves the folder with '..'"
    """
    reasons = {
        "it is an address, not a path": re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text) is not None,
        "it is absolute": text.startswith(("/", "\\")),
        "it starts with '~'": text.startswith("~"),
        "it leaves the folder with '..'": ".." in PurePosixPath(text.replace("\\", "/")).parts,
        "it holds a backslash or an invisible character": "\\" in text or not text.isprintable(),
        "it starts with '-'": text.startswith("-"),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def check_files(context: Context, report: Report) -> None:
    """Check all paths of the document; files themselves where the folder is known."""
    for path, text, sha256 in _inputs(context):
        if not _is_safe(report, path, text):
            continue
        if context.folder is not None:
            _check_file(report, path, context.folder / text, sha256)
    for path, text in _outputs(context):
        _is_safe(report, path, text)
    for path, text in _containers(context):
        _check_container(context, report, path, text)


def _is_safe(report: Report, path: Path, text: str) -> bool:
    reason = unsafe_reason(text)
    if reason is not None:
        message = f"the path is not allowed: {reason}"
        report.add(path, "spec.unsafe-path", message, found=shown(text), expected="a path below the document's folder")
    return reason is None


def _inputs(context: Context) -> Iterator[tuple[Path, str, str | None]]:
    """Yield the place, the path and the declared digest of each input file."""
    for name, sample in context.analysis.samples.items():
        for place, file in enumerate(sample.files):
            if file.path is not None:
                yield ("samples", name, "files", place, "path"), file.path, file.sha256
    for name, generator in context.analysis.generators.items():
        if generator.slha is not None:
            yield ("generators", name, "slha", "path"), generator.slha.path, generator.slha.sha256
    for name, stage in context.analysis.stages.items():
        for key, text in stage.inputs.items():
            if not text.startswith(("source:", "stage:")):
                yield ("stages", name, "inputs", key), text, None


def _outputs(context: Context) -> Iterator[tuple[Path, str]]:
    for name, stage in context.analysis.stages.items():
        for key, text in stage.outputs.items():
            yield ("stages", name, "outputs", key), text
        if stage.reduce is not None:
            for key, text in stage.reduce.outputs.items():
                yield ("stages", name, "reduce", "outputs", key), text


def _containers(context: Context) -> Iterator[tuple[Path, str]]:
    """Yield the place and the name of each image; the name of an environment is none."""
    for name, environment in context.analysis.environments.items():
        if environment.container is not None:
            yield ("environments", name, "container"), environment.container
    for name, stage in context.analysis.stages.items():
        if stage.container is not None and stage.container not in context.declared("environments"):
            yield ("stages", name, "container"), stage.container


def _check_container(context: Context, report: Report, path: Path, text: str) -> None:
    """Check one image: a file beside the document, or a registry reference whose digest says which image it is.

    A name is looked up where images are known, with the plan.
    """
    if is_image_name(text):
        return
    if is_registry_reference(text):
        if registry_reference(text) is None:
            message = "a container from a registry needs the digest of its image"
            expected = "e.g. docker://NAME@sha256:64 hexadecimal digits"
            report.add(path, "spec.container", message, found=shown(text), expected=expected)
    elif _is_safe(report, path, text) and context.folder is not None:
        _check_file(report, path, context.folder / text, None)


def _check_file(report: Report, path: Path, file: FilePath, sha256: str | None) -> None:
    try:
        is_folder = file.is_dir()
        if not is_folder and not file.is_file():
            what = "does not exist" if not file.exists() else "is not a regular file"
            report.add(path, "spec.no-such-file", f"the file {what}", found=shown(str(file)))
            return
        if sha256 is None:
            return
        if is_folder:
            message = "a folder has no digest; leave out sha256"
            report.add(path, "spec.digest", message, found=shown(str(file)))
            return
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as err:
        reason = (err.strerror or "unreadable").lower()
        report.add(path, "spec.unreadable", f"the file cannot be read: {reason}", found=shown(str(file)))
        return
    if digest != sha256:
        message = "the content of the file has another sha256 than declared"
        report.add((*path[:-1], "sha256"), "spec.digest", message, found=digest, expected=sha256)
