"""A likelihood wherever it lies: a workspace with its patches, a neural bundle, a run folder, a combination."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evercast.artifacts.bundle_open import MANIFEST_FILE, open_bundle
from evercast.artifacts.combination import Combination, read_combination
from evercast.artifacts.files import read_json, sha256_file
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE, read_likelihood
from evercast.artifacts.likelihood_folder import INDEX_FILE, open_likelihood, read_index
from evercast.artifacts.run_marks import marks_of
from evercast.errors import IntegrityError, InvalidInput, UsageError
from evercast.likelihood.combination import combine
from evercast.likelihood.foreign import refuse_hs3
from evercast.likelihood.histfactory import KnownSample, apply_patch, patch_of_set, patches_of_set, read_workspace
from evercast.likelihood.model import LikelihoodModel
from evercast.likelihood.patchset import check_patchset
from evercast.likelihood.reparametrise import Parametrisation, reparametrise
from evercast.spec.documents import load_document

__all__ = ["LikelihoodSource", "PatchedWorkspace", "open_likelihood_source", "open_patchset"]

_DEEPEST = 8
"""Combinations within combinations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodSource:
    """Where a likelihood comes from.

    Args:
        path: a pyhf workspace, a neural bundle, the folder of a run, or a combination document.
        name: which likelihood of a run.
        measurement: which measurement of a workspace.
        patch: a file with a JSON patch, or the name of one in `patchset`.
        patchset: a pyhf patchset.
        parametrisation: a document with other parameters and coefficients.
        interpolation: interpolation code of modifiers of a workspace: ``normsys`` -> ``code1``.
        compared: all digests of the bundle at `path` were compared already.
    """

    path: Path
    name: str | None = None
    measurement: str | None = None
    patch: str | None = None
    patchset: Path | None = None
    parametrisation: Path | None = None
    interpolation: Mapping[str, str] | None = None
    compared: bool = False


def open_likelihood_source(source: LikelihoodSource) -> LikelihoodModel:
    """Return the likelihood model of a source.

    Raises:
        InvalidInput: what was named does not exist or is not a likelihood; a document is not valid; parts of a
            combination do not agree.
        UsageError: options do not fit the kind of likelihood.
        IntegrityError: a bundle or a run is damaged, a patchset belongs to another workspace, a part of a combination
            lies outside of its folder.
    """
    model = _open(source, depth=0)
    if source.parametrisation is None:
        return model
    document = load_document(source.parametrisation, "parametrisation", Parametrisation)
    return reparametrise(model, document)


def _open(source: LikelihoodSource, *, depth: int) -> LikelihoodModel:
    if not source.path.exists():
        raise InvalidInput(f"{source.path} does not exist", code="likelihood.missing")
    if source.path.is_dir():
        if source.patch or source.patchset or source.measurement or source.interpolation:
            message = "--patch, --patchset, --measurement and --interpolation need a workspace file; a folder was given"
            raise UsageError(message)
        return _open_folder(source.path, source.name, compared=source.compared)
    if source.path.suffix in {".yaml", ".yml"}:
        return _combined(source, depth=depth)
    body = _read_object(source.path)
    if str(body.get("schema", "")).startswith("combination/"):
        return _combined(source, depth=depth)
    if not {"channels", "observations", "measurements"} & set(body) or "schema" in body:
        raise InvalidInput(
            f"{source.path} is no pyhf workspace: it has the keys {', '.join(sorted(map(str, body))[:8])}",
            code="likelihood.missing",
            hint="give a workspace file, the folder of a neural bundle or of a run, or a combination document",
        )
    name = source.path.stem if source.patch is None else f"{source.path.stem} + {Path(source.patch).stem}"
    return _called(_workspace(_patched(body, source), source, name), source.name, source.path)


def _workspace(
    body: Mapping[str, object], source: LikelihoodSource, name: str, known: dict[int, KnownSample | None] | None = None
) -> LikelihoodModel:
    settings = {kind: {"interpcode": code} for kind, code in (source.interpolation or {}).items()}
    return read_workspace(body, measurement=source.measurement, modifier_settings=settings, name=name, known=known)


def _combined(source: LikelihoodSource, *, depth: int) -> LikelihoodModel:
    if depth == _DEEPEST:
        message = f"combinations are nested more than {_DEEPEST} deep; does one hold itself?"
        raise InvalidInput(message, code="combination.nested", where=str(source.path))
    if source.patch or source.patchset or source.measurement or source.name or source.interpolation:
        raise UsageError("--patch, --patchset, --measurement and --likelihood are said in the parts of a combination")
    document = read_combination(source.path)
    sources = _sources(document, source.path.parent)
    _refuse_twice(document, sources, where=source.path)
    _refuse_same_run(document, sources, where=source.path)
    parts = {name: _open(part, depth=depth + 1) for name, part in sources.items()}
    return combine(
        parts,
        rename={name: part.rename for name, part in document.parts.items()},
        uncorrelate=document.uncorrelate,
        poi=document.poi,
        name=document.name,
        title=document.title,
    )


def _sources(document: Combination, folder: Path) -> Mapping[str, LikelihoodSource]:
    return {
        name: LikelihoodSource(
            path=folder / part.path,
            name=part.likelihood,
            measurement=part.measurement,
            patchset=None if part.patchset is None else folder / part.patchset,
            patch=part.patch if part.patch is None or part.patchset is not None else str(folder / part.patch),
        )
        for name, part in document.parts.items()
    }


def _refuse_twice(document: Combination, sources: Mapping[str, LikelihoodSource], *, where: Path) -> None:
    """Refuse one workspace file, with one patch, as two parts: its data would count twice."""
    if document.uncorrelate:
        return
    seen: dict[tuple[str, str | None], str] = {}
    for name, part in sources.items():
        if document.parts[name].rename or not part.path.is_file():
            continue
        patch = Path(part.patch) if part.patch is not None and part.patchset is None else None
        patched = sha256_file(patch) if patch is not None and patch.is_file() else part.patch
        other = seen.setdefault((sha256_file(part.path), patched), name)
        if other != name:
            message = f"the parts '{other}' and '{name}' are the same file: its data would count twice"
            hint = "leave one out; rename or uncorrelate parameters where the data are really others"
            raise InvalidInput(message, code="combination.twice", where=str(where), hint=hint)


def _refuse_same_run(document: Combination, sources: Mapping[str, LikelihoodSource], *, where: Path) -> None:
    """Refuse two likelihoods of one run, as its neural and its binned one are: the same events would count twice."""
    if document.same_run:
        return
    seen: list[tuple[str, frozenset[str], bool]] = []
    for name, part in sources.items():
        marks, folder = (marks_of(part.path) if part.path.exists() else frozenset[str]()), part.path.is_dir()
        other = next((entry for entry, known, is_folder in seen if known & marks and (folder or is_folder)), None)
        if other is not None:
            message = f"the parts '{other}' and '{name}' are of one run: events in both would count twice"
            hint = "combine one of them with other data; `same_run: true` where no event is in both"
            raise InvalidInput(message, code="combination.same-run", where=str(where), hint=hint)
        seen.append((name, marks, folder))


def _open_folder(path: Path, name: str | None, *, compared: bool) -> LikelihoodModel:
    for folder in (path, path / "likelihood"):
        if not (folder / INDEX_FILE).is_file():
            continue
        names = list(read_index(folder).likelihoods)
        if name is None and len(names) != 1:
            raise UsageError(f"the run holds the likelihoods {', '.join(names)}; choose one with --likelihood NAME")
        return open_likelihood(folder, name or names[0])
    if (path / LIKELIHOOD_FILE).is_file():
        published = (path / MANIFEST_FILE).is_file()
        if published and not compared:
            open_bundle(path)
        return _called(read_likelihood(path) if published else _of_its_run(path), name, path)
    message = f"{path} holds neither a neural bundle ({LIKELIHOOD_FILE}) nor a run (likelihood/{INDEX_FILE})"
    raise InvalidInput(
        message, code="likelihood.missing", hint="give a workspace file, a bundle or the folder of a run"
    )


def _called(model: LikelihoodModel, name: str | None, path: Path) -> LikelihoodModel:
    """Return what was opened, where it is called as it was asked for."""
    if name not in (None, model.name):
        message = f"there is no likelihood {name!r}; there is: {model.name}"
        raise InvalidInput(message, code="likelihood.unknown", where=str(path), hint="only a run holds several")
    return model


def _of_its_run(path: Path) -> LikelihoodModel:
    """Return the likelihood of a run that is not published: the index beside its folder names it with its digest.

    Raises:
        IntegrityError: ``bundle.missing``: no index names it either, nothing says what its files must be;
            ``likelihood.digest``.
    """
    above = path.absolute().parent
    entries = read_index(above).likelihoods if (above / INDEX_FILE).is_file() else {}
    for name, entry in entries.items():
        if entry.kind == "folder" and entry.path == path.absolute().name:
            return open_likelihood(above, name)
    message = f"there is {LIKELIHOOD_FILE}, but no {MANIFEST_FILE} that says what its files must be"
    hint = "get the whole bundle again; of a run give its folder, with --likelihood NAME"
    raise IntegrityError(message, code="bundle.missing", where=str(path), hint=hint)


def _patched(workspace: Mapping[str, object], source: LikelihoodSource) -> Mapping[str, object]:
    if source.patch is None:
        if source.patchset is not None:
            raise UsageError("--patchset needs --patch NAME")
        return workspace
    if source.patchset is not None:
        patchset = _read_object(source.patchset)
        _check_patchset(workspace, patchset, source.patchset)
        return apply_patch(workspace, patch_of_set(patchset, source.patch))
    if not Path(source.patch).is_file():
        message = f"--patch {source.patch} is not a file"
        hint = "the name of a patch needs its patchset: --patchset FILE --patch NAME"
        raise InvalidInput(message, code="likelihood.missing", hint=hint)
    patch = _read(Path(source.patch))
    refuse_hs3(patch, where=source.patch)
    if not isinstance(patch, list):
        hint = "a patchset is given with --patchset FILE --patch NAME"
        raise InvalidInput("a JSON patch must be a list", code="workspace.patch", where=source.patch, hint=hint)
    return apply_patch(workspace, patch)


def _check_patchset(workspace: Mapping[str, object], patchset: Mapping[str, object], path: Path) -> None:
    """Refuse a patchset that pyhf would refuse, and one whose digest is not that of the workspace as pyhf has it."""
    check_patchset(patchset, where=str(path))
    metadata = patchset.get("metadata")
    digests = metadata.get("digests") if isinstance(metadata, Mapping) else None
    wanted = digests.get("sha256") if isinstance(digests, Mapping) else None
    if not isinstance(wanted, str):
        return
    text = json.dumps(workspace, sort_keys=True, ensure_ascii=False)
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != wanted:
        message = f"the patchset is made for a workspace with sha256 {wanted}; this one has {found}"
        raise IntegrityError(message, code="workspace.patchset-digest", where=str(path))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatchedWorkspace:
    """A workspace with a patchset, of which every patch is a likelihood.

    Args:
        source: of the workspace, without a patch.
        workspace: the background.
        patches: name -> JSON patch, in the order of the patchset.
        known: identity of each sample in `workspace` -> what was read from it, or None: most stand in every patch.
    """

    source: LikelihoodSource
    workspace: Mapping[str, object]
    patches: Mapping[str, Sequence[object]]
    known: dict[int, KnownSample | None]

    def model(self, name: str) -> LikelihoodModel:
        """Return the likelihood with the patch of that name.

        Raises:
            InvalidInput: the patch does not fit, or the patched workspace is not valid.
        """
        body = apply_patch(self.workspace, self.patches[name])
        model = _workspace(body, self.source, f"{self.source.path.stem} + {name}", self.known)
        if self.source.parametrisation is None:
            return model
        return reparametrise(model, load_document(self.source.parametrisation, "parametrisation", Parametrisation))


def open_patchset(source: LikelihoodSource) -> PatchedWorkspace:
    """Return a workspace with all patches of a patchset, or of a folder of patch files (its ``patch.NAME.json``).

    Raises:
        InvalidInput: a file is missing or not what it must be; there is no patch.
        UsageError: the source has no patchset, or names one patch.
        IntegrityError: the patchset belongs to another workspace.
    """
    if source.patchset is None or source.patch is not None:
        raise UsageError("all patches are asked for: give --patchset FILE (or a folder of patch files), and no --patch")
    workspace = _read_object(source.path)
    patches: dict[str, Sequence[object]]
    if source.patchset.is_dir():
        files = sorted(source.patchset.glob("patch.*.json"))
        patches = {path.name[len("patch.") : -len(".json")]: _patch_list(_read(path), path) for path in files}
    else:
        patchset = _read_object(source.patchset)
        _check_patchset(workspace, patchset, source.patchset)
        patches = dict(patches_of_set(patchset))
    if not patches:
        raise InvalidInput("there is no patch", code="workspace.patch", where=str(source.patchset))
    known: dict[int, KnownSample | None] = {id(entry): None for entry in _objects(workspace, ("channels", "samples"))}
    return PatchedWorkspace(source=replace(source, patchset=None), workspace=workspace, patches=patches, known=known)


def _objects(parent: object, keys: Sequence[str]) -> Iterator[object]:
    """Yield what stands below nested keys of lists of objects; what has another form is left to the reader."""
    if not keys:
        yield parent
        return
    entries = parent.get(keys[0]) if isinstance(parent, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        yield from _objects(entry, keys[1:])


def _patch_list(value: object, path: Path) -> list[object]:
    if not isinstance(value, list):
        raise InvalidInput("a JSON patch must be a list", code="workspace.patch", where=str(path))
    return value


def _read_object(path: Path) -> Mapping[str, object]:
    value = _read(path)
    if not isinstance(value, dict):
        raise InvalidInput("expected a JSON object", code="workspace.invalid", where=str(path))
    refuse_hs3(value, where=str(path))
    return value


def _read(path: Path) -> object:
    """Return the JSON value of a file of the user; every fault is an input error."""
    if not path.is_file():
        raise InvalidInput(f"{path} does not exist or is not a file", code="likelihood.missing")
    try:
        return read_json(path)
    except IntegrityError as err:
        raise InvalidInput(err.message, code="workspace.not-json") from err
