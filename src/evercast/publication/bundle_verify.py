"""``evercast verify BUNDLE``: digests, structure, signature, and whether the numbers mean what the bundle says.

Everything is computed again from the published files: log ratios of every network by the reference evaluation in
float64 and by the compiled one in float32, -2 ln L and its gradient at the reference points, the published best fit and
the ends of its interval, the binned projection, the copies for other programs. What is not computed again is said. No
program in the bundle is run: those of evercast are known by their digests, others are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evercast.artifacts.bundle_ensembles import BundleNetworks, read_ensembles
from evercast.artifacts.bundle_open import (
    SIGNATURE_FILE,
    SUMS_FILE,
    Bundle,
    open_bundle,
    require_schema,
    schema_problems,
)
from evercast.artifacts.files import read_json
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE, read_likelihood
from evercast.artifacts.signatures import PublicKey, check_signature, read_public_key
from evercast.artifacts.validity import SUPPORT_FILE, Domain, read_points, read_validity
from evercast.errors import IntegrityError, InvalidInput
from evercast.publication.bundle_contents import check_contents, check_tensors
from evercast.publication.bundle_numbers import compare_best_fit, compare_likelihood, compare_networks
from evercast.publication.findings import Finding
from evercast.publication.fit_check import check_fit
from evercast.publication.graph_copies import check_copies
from evercast.publication.projection_check import check_projection, check_workspace
from evercast.publication.report.view import JsonView

__all__ = ["VerifiedBundle", "require_complete", "verify_bundle"]

_REQUIRED: Final = (
    "reference_vectors.json", "validity.json", "results.json", "diagnostics.json", "LICENSE.txt", "CITATION.cff",
    "README.md", "index.html",
)  # fmt: skip
_SCHEMAS: Final = (
    (LIKELIHOOD_FILE, "likelihood"), ("architecture.json", "architecture"),
    ("reference_vectors.json", "reference-vectors"), ("validity.json", "validity"), ("results.json", "bundle-results"),
)  # fmt: skip
_NOT_COMPUTED: Final = (
    "of results.json: what is expected, uncertainties, scan, significance, limit, contours, impacts, goodness of fit",
    "diagnostics.json: needs the simulated events and the run",
    "validity.json: how ranges, points and threshold were found",
    "of manifest.json: the comparison of the projection with the likelihood; seeds, versions, metadata",
    "texts and drawings: index.html, report.html, README.md, LICENSE.txt, CITATION.cff",
)
"""What stands in a published bundle and is compared with its digest only."""
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """A bundle that passed every check.

    Args:
        bundle: as opened.
        findings: what was checked.
        not_recomputed: what stands in the bundle and was only compared with its digest, in words.
        signer: whose signature is right; None: nobody signed.
    """

    bundle: Bundle
    findings: tuple[Finding, ...]
    not_recomputed: tuple[str, ...]
    signer: PublicKey | None


def verify_bundle(folder: Path, *, key: Path | None = None) -> VerifiedBundle:
    """Verify a neural bundle.

    Args:
        folder: of the bundle.
        key: file of the public key that must have signed it; None takes any signature, or none.

    Raises:
        IntegrityError: as `open_bundle`; ``signature.missing``, ``signature.wrong``, ``signature.other-key``;
            ``bundle.disclosure``, it holds what it says it keeps back; ``bundle.unknown-file``, ``bundle.program``,
            ``bundle.page``; ``bundle.architecture``; ``bundle.reference``, ``bundle.results``, ``bundle.projection``,
            ``bundle.workspace``: a number is another; what copies are refused for.
        InvalidInput: ``format.unknown-version``, ``bundle.manifest``, ``bundle.document``, ``bundle.incomplete``,
            ``validity.missing``.
        NumericalFailure: ``weights.not-finite``.
    """
    bundle = open_bundle(folder)
    signer = _signer(bundle, key)
    size = f"{len(bundle.files)} files, {bundle.size_bytes / 1e6:.1f} MB"
    findings = [Finding(name="files", detail=f"{size}: names, sizes and sha256 are those of the manifest")]
    if bundle.published:
        require_complete(bundle)
    findings += check_contents(bundle)
    findings += _documents(bundle)
    ensembles = read_ensembles(folder, bundle.manifest)
    if bundle.manifest["disclosure"] != "ratios":
        _check_architecture(bundle, ensembles)
    vectors = JsonView(read_json(folder / "reference_vectors.json"))
    findings += compare_networks(ensembles, vectors, folder=folder)
    model = read_likelihood(folder)
    check_tensors(bundle, model)
    said: list[Finding | str] = [*findings, *compare_likelihood(model, vectors, folder=folder)]
    results = JsonView(read_json(folder / "results.json") if "results.json" in bundle.files else None)
    said += compare_best_fit(model, results, folder=folder)
    for copy in check_copies(folder, bundle.manifest):
        detail = f"agrees with the weights at {copy.points} inputs, largest difference {copy.largest_difference:.2g}"
        said.append(Finding(name=copy.file, detail=detail))
    if bundle.published:
        said += [*check_workspace(bundle), *check_projection(bundle, model), *check_fit(model, results, folder=folder)]
        said += _NOT_COMPUTED
    return VerifiedBundle(
        bundle=bundle,
        findings=tuple(one for one in said if isinstance(one, Finding)),
        not_recomputed=tuple(one for one in said if isinstance(one, str)),
        signer=signer,
    )


def _signer(bundle: Bundle, key: Path | None) -> PublicKey | None:
    """Return who signed the bundle, after the signature was checked; None where nobody did.

    Raises:
        IntegrityError: ``signature.*``.
    """
    wanted = None if key is None else read_public_key(key)
    if not bundle.signed:
        if wanted is not None:
            raise IntegrityError(
                f"nobody signed the bundle; expected the key {wanted.fingerprint}",
                code="signature.missing",
                where=str(bundle.folder),
            )
        return None
    signer = check_signature(bundle.folder / SUMS_FILE, bundle.folder / SIGNATURE_FILE)
    if wanted is not None and signer.raw != wanted.raw:
        raise IntegrityError(
            f"the bundle was signed by the key {signer.fingerprint}; expected {wanted.fingerprint}",
            code="signature.other-key",
            where=str(bundle.folder / SIGNATURE_FILE),
        )
    return signer


def require_complete(bundle: Bundle) -> None:
    """Refuse a published bundle that lacks what its reader needs.

    Raises:
        InvalidInput: ``bundle.incomplete`` with all that is missing.
    """
    missing = [name for name in _REQUIRED if name not in bundle.files]
    if missing:
        raise InvalidInput(
            f"the bundle is not complete: {', '.join(missing)} missing",
            code="bundle.incomplete",
            where=str(bundle.folder),
            hint="evercast publish writes them all",
        )


def _documents(bundle: Bundle) -> Iterator[Finding]:
    """Yield that the JSON files are as their schemas say, the domain of validity usable with its points.

    Raises:
        InvalidInput: ``bundle.document``, ``format.unknown-version``.
        IntegrityError: a file is no JSON; ``validity.damaged``.
    """
    checked = ["manifest.json"]
    for name, kind in _SCHEMAS:
        if name not in bundle.files:
            continue
        path = bundle.folder / name
        body = read_json(path)
        require_schema(body, f"{kind}/1.0.0", where=path)
        problems = schema_problems(kind, body)
        if problems:
            said = "; ".join(problems[:_SHOWN])
            raise InvalidInput(f"{name} is not as its schema says: {said}", code="bundle.document", where=str(path))
        checked.append(name)
    yield Finding(name="documents", detail=f"{', '.join(checked)} are as their schemas say")
    if "validity.json" in bundle.files:
        domain = read_validity(bundle.folder)
        points = read_points(bundle.folder, domain)
        _require_same_inputs(bundle, domain)
        if points:
            count = sum(len(one) for one in points.values())
            yield Finding(name="domain", detail=f"ranges and {count} points of the support are usable")
        elif SUPPORT_FILE in bundle.files:
            message = f"validity.json names no points of a support, and there is {SUPPORT_FILE}"
            raise IntegrityError(message, code="bundle.disclosure", where=str(bundle.folder))
        elif any(one.observables for one in domain.ensembles.values()):
            yield Finding(name="domain", detail="ranges are usable; no points of a support are published")


def _require_same_inputs(bundle: Bundle, domain: Domain) -> None:
    """Refuse a domain whose observables are not the inputs of the networks, in their order and units.

    Raises:
        IntegrityError: ``validity.damaged``.
    """
    units = {one["name"]: one["unit"] for one in bundle.manifest["observables"]}
    for name, entry in bundle.manifest["ensembles"].items():
        wanted = [(observable, units.get(observable)) for observable in entry["observables"]]
        ensemble = domain.ensembles.get(name)
        found = None if ensemble is None else [(one.name, one.unit) for one in ensemble.observables]
        if found != wanted and not (found == [] and bundle.manifest["disclosure"] == "ratios"):
            raise IntegrityError(
                f"the observables of ensemble {name!r} are {_named(wanted)} in the manifest and "
                f"{_named(found or [])} in validity.json",
                code="validity.damaged",
                where=str(bundle.folder),
            )


def _named(observables: Sequence[tuple[str, str | None]]) -> str:
    return ", ".join(f"{name} [{unit}]" for name, unit in observables) or "none"


def _check_architecture(bundle: Bundle, ensembles: dict[str, BundleNetworks]) -> None:
    path = bundle.folder / "architecture.json"
    body = read_json(path)
    said = body.get("networks") if isinstance(body, dict) else None
    found = {
        name: {label: networks.architecture.to_json() for label, networks in ensemble.networks()}
        for name, ensemble in ensembles.items()
    }
    if said != found:
        raise IntegrityError(
            "architecture.json describes other networks than the weights say they are",
            code="bundle.architecture",
            where=str(path),
            hint="get the bundle again from where it was published",
        )
