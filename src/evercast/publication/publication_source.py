"""Opens a finished run to publish it, and refuses one that must not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evercast.artifacts.files import read_json, sha256_file
from evercast.artifacts.likelihood_folder import Index, read_index
from evercast.artifacts.neural_bundle import MANIFEST_FILE
from evercast.errors import IntegrityError, InvalidInput, RunFailed
from evercast.plan import Unit
from evercast.plan.recipes import StageName
from evercast.publication.bundle_context import BundleContext, PublicationContext
from evercast.publication.gate import require_publishable
from evercast.publication.licences import require_licence
from evercast.runtime.export import require_all
from evercast.runtime.folders import RunFolder, default_results
from evercast.runtime.plans import FrozenPlan, read_plan
from evercast.runtime.receipts import check_files, read_receipt
from evercast.spec import load_analysis
from evercast.spec.codec import from_json, to_json
from evercast.spec.model import Analysis

__all__ = ["open_run"]


def open_run(
    document: Path,
    *,
    results: Path | None,
    likelihoods: Sequence[str] = (),
    key: Path | None = None,
    plan: Path | None = None,
) -> PublicationContext:
    """Return a finished run, ready to be published.

    Args:
        document: the analysis document.
        results: the run folder; None: ``results/NAME``.
        likelihoods: only these; empty: all that the document publishes.
        key: PEM file of a private key, handed on.
        plan: frozen ``plan.json`` of the document; None: of the plan that was run last, which must be of it.

    Raises:
        RunFailed: ``run.incomplete``.
        InvalidInput: the document is not valid; ``publication.red-check``, ``publication.unchecked``,
            ``publication.licence``, ``publication.nothing``, ``publication.likelihood``, ``publication.blinded``,
            ``publication.run-id``.
        IntegrityError: a file of the run is not what its receipt says.
    """
    analysis, frozen = _frozen(document, results, plan)
    require_licence(analysis.metadata.license)
    fit = _object(_checked(frozen, "report", "fit.json") / "fit.json")
    diagnostics = _object(_checked(frozen, "diagnostics", "diagnostics.json") / "diagnostics.json")
    require_publishable(diagnostics)
    folder = _checked(frozen, "serialization", "likelihood") / "likelihood"
    neural, workspace = _asked(analysis, likelihoods)
    _refuse_blinded(fit, [name for name in (neural, workspace) if name is not None])
    _require_one_run(folder, read_index(folder), neural)
    bundles = {} if neural is None else {neural: _bundle(analysis, frozen, folder / neural, neural, fit, diagnostics)}
    return PublicationContext(
        frozen=frozen, document=document, analysis=analysis, likelihood=folder, results=fit, diagnostics=diagnostics,
        bundles=bundles, workspace=workspace, key=key,
    )  # fmt: skip


def _frozen(document: Path, results: Path | None, plan: Path | None) -> tuple[Analysis, FrozenPlan]:
    """Return the document, and its plan: the one given or that which was run last."""
    analysis = load_analysis(document)
    folder = RunFolder(results if results is not None else default_results(analysis.name))
    file = plan if plan is not None else _plan_file(folder)
    if file is None or to_json(_analysis(file)) != to_json(analysis):
        what = "this document has not been run here" if file is None else "the document was changed since it was run"
        raise RunFailed(
            what, code="run.incomplete", where=str(folder.root), hint=f"run it before: evercast run {document}"
        )
    frozen = read_plan(file)
    require_all(frozen)
    return analysis, frozen


def _plan_file(folder: RunFolder) -> Path | None:
    """Return the frozen plan that was run last; None where there was no run."""
    if not folder.current.is_file():
        return None
    digest = _object(folder.current).get("plan")
    file = folder.plan(str(digest)) / "plan.json"
    return file if file.is_file() else None


def _analysis(plan_file: Path) -> Analysis:
    return from_json(Analysis, read_json(plan_file.parent / "analysis.json"))


def _checked(frozen: FrozenPlan, stage: StageName, name: str) -> Path:
    """Return the folder of the one unit of a stage after a file or folder in it was compared with its receipt."""
    units: tuple[Unit, ...] = frozen.plan.of_stage(stage)
    if not units:
        raise InvalidInput(f"the run has no stage {stage}", code="publication.nothing", where=str(frozen.folder.root))
    folder = frozen.folder.unit(units[0])
    check_files(read_receipt(frozen.folder.receipt(units[0])), folder=folder, only=[name])
    return folder


def _object(path: Path) -> Mapping[str, object]:
    body = read_json(path)
    if not isinstance(body, dict):
        raise IntegrityError("expected a JSON object", code="artifact.not-json", where=str(path))
    return body


def _asked(analysis: Analysis, likelihoods: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the likelihoods to publish, as a neural bundle and as a pyhf workspace."""
    declared = analysis.publish
    neural = None if declared.neural_likelihood is None else declared.neural_likelihood.likelihood
    workspace = None if declared.pyhf is None else declared.pyhf.likelihood
    there = [name for name in dict.fromkeys((neural, workspace)) if name is not None]
    if not there:
        hint = "declare publish: {neural_likelihood: {likelihood: NAME}} or {pyhf: …} in the document"
        raise InvalidInput("the document publishes no likelihood", code="publication.nothing", hint=hint)
    for name in likelihoods:
        if name not in there:
            message = f"the document does not publish a likelihood {name!r}; it publishes: {', '.join(there)}"
            raise InvalidInput(message, code="publication.likelihood", where="$.publish")
    wanted = set(likelihoods or there)
    return (neural if neural in wanted else None), (workspace if workspace in wanted else None)


def _refuse_blinded(fit: Mapping[str, object], names: Sequence[str]) -> None:
    """Refuse a likelihood whose observed data nobody was to look at.

    Raises:
        InvalidInput: ``publication.blinded``.
    """
    results = fit.get("results")
    for name in names:
        result = results.get(name) if isinstance(results, Mapping) else None
        blinded = result.get("blinded") if isinstance(result, Mapping) else None
        if blinded or (isinstance(result, Mapping) and result.get("status") == "blinded"):
            raise InvalidInput(
                f"likelihood {name!r} is blinded: its channels {', '.join(map(str, blinded or ()))} hold data that "
                "were not looked at, and a publication would give them away",
                code="publication.blinded",
                where="fit.json",
                hint="publish after unblinding: inference: {unblind: true} in the document, then run again",
            )


def _require_one_run(folder: Path, index: Index, neural: str | None) -> None:
    """Refuse files that were not serialized together.

    Raises:
        InvalidInput: ``publication.run-id``.
    """
    if neural is None:
        return
    manifest = _object(folder / neural / MANIFEST_FILE)
    workspace = folder / "workspace.json"
    found = sha256_file(workspace) if workspace.is_file() else None
    pairs = (("run id", manifest.get("run_id"), index.run_id), ("workspace", manifest.get("workspace_sha256"), found))
    for what, said, there in pairs:
        if said != there:
            raise InvalidInput(
                f"the neural bundle and what stands beside it are of different runs: its manifest says {what} {said}; "
                f"found {there}",
                code="publication.run-id",
                where=str(folder),
                hint="run the analysis again in one folder",
            )


def _bundle(
    analysis: Analysis,
    frozen: FrozenPlan,
    core: Path,
    name: str,
    fit: Mapping[str, object],
    diagnostics: Mapping[str, object],
) -> BundleContext:
    return BundleContext(
        frozen=frozen, analysis=analysis, likelihood=name, core=core, results=fit, diagnostics=diagnostics
    )
