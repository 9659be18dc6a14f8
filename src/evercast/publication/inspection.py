"""``evercast inspect``: what a bundle is, as a few lines for people and the same as JSON; digests are checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evercast.artifacts.archive import check_versions, find_versions
from evercast.artifacts.bag import SIGNATURES
from evercast.artifacts.bundle_open import Bundle, open_bundle
from evercast.artifacts.files import read_json
from evercast.publication.report.view import JsonView
from evercast.publication.results import read_result, with_interval, with_limit
from evercast.publication.verification import Kind, kind_of
from evercast.spec.codec import to_json

__all__ = ["inspect_path"]


def inspect_path(path: Path) -> Mapping[str, Any]:
    """Return what a path holds.

    Raises:
        IntegrityError: a digest differs, or it is not what it must be.
        InvalidInput: as `kind_of`; it is of an unknown version or not valid.
    """
    kind: Kind = kind_of(path)
    if kind == "bundle":
        return {"kind": kind, **_bundle(open_bundle(path))}
    if kind == "archive":
        versions = check_versions(find_versions(path), where=str(path), digests=False)
        return {
            "kind": kind,
            "versions": [
                {
                    "name": one.name,
                    "id": one.bag.id,
                    "files": len(one.bag.files),
                    "size_bytes": sum(one.bag.sizes.values()),
                    "signatures": sum(
                        name.startswith(SIGNATURES) and name.endswith(".sig") for name in one.content.sizes
                    ),
                    "record": to_json(one.record),
                }
                for one in versions
            ],
        }
    body: Any = read_json(path)
    if kind == "patchset":
        return {"kind": kind, "patches": [one["metadata"]["name"] for one in body["patches"]]}
    return {"kind": kind, **_workspace(body)}


def _workspace(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "channels": {one["name"]: len(one["samples"][0]["data"]) for one in body["channels"]},
        "samples": sorted({sample["name"] for one in body["channels"] for sample in one["samples"]}),
        "measurements": {one["name"]: one["config"]["poi"] for one in body["measurements"]},
    }


def _bundle(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    found: dict[str, Any] = {
        "title": manifest["title"],
        "analysis": manifest["analysis"],
        "likelihood": manifest["name"],
        "run_id": manifest["run_id"],
        "id": bundle.id,
        "signed": bundle.signed,
        "published": bundle.published,
        "disclosure": manifest["disclosure"],
        "pseudo_data": manifest["pseudo_data"],
        "experiment": manifest["metadata"]["experiment"],
        "sqrt_s_tev": manifest["metadata"]["sqrt_s_tev"],
        "luminosity_fb": manifest["metadata"]["luminosity_fb"],
        "license": manifest["metadata"]["license"],
        "observables": {one["name"]: one["unit"] for one in manifest["observables"]},
        "processes": {name: one["coefficient"] for name, one in manifest["processes"].items()},
        "parameters": _parameters(bundle),
        "channels": {
            name: {"observed": one["observed_events"], "simulated": one["simulated_events"], "blind": one["blind"]}
            for name, one in manifest["channels"].items()
        },
        "networks": {
            name: f"{one['members']} members x {one['folds']} folds x {len(one['processes'])} processes"
            for name, one in manifest["ensembles"].items()
        },
        "result": _result(bundle),
        "files": len(bundle.files),
        "size_bytes": bundle.size_bytes,
        "versions": manifest["versions"],
    }
    return found


def _parameters(bundle: Bundle) -> list[str]:
    body = JsonView(read_json(bundle.folder / "likelihood.json"))
    return [text for one in body.entries("parameters") if (text := one.text("name"))]


def _result(bundle: Bundle) -> str | None:
    """Return the published result in words; None where the bundle has none."""
    if "results.json" not in bundle.files:
        return None
    body = JsonView(read_json(bundle.folder / "results.json"))
    observed = body.at("observed")
    fit = {"parameters": observed.at("parameters").value}
    result = read_result(
        bundle.manifest["name"],
        JsonView(
            {"poi": body.text("poi"), "status": observed.text("status"), "observed": {**_plain(observed), "fit": fit}}
        ),
    )
    if result.observed is None:
        return None
    text = f"{result.poi} = {with_interval(result.observed)}"
    return text if result.observed.limit is None else f"{text}, {with_limit(result.observed.limit)}"


def _plain(view: JsonView) -> Mapping[str, object]:
    return view.value if isinstance(view.value, Mapping) else {}
