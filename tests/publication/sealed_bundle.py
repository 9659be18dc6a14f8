"""A complete bundle that `evercast verify` passes, and the tools of whoever changes one and seals it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evercast.artifacts.bundle_open import MANIFEST_FILE, SIGNATURE_FILE, SUMS_FILE, sums_text
from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import read_likelihood
from evercast.inference.fit import fit
from evercast.likelihood.evaluate import Likelihood
from invented_bundle import write_invented_bundle


def write_sealed_bundle(
    folder: Path, *, disclosure: str = "networks", copies: bool = False, points: bool = True
) -> Path:
    """Write an invented bundle with everything that a published one must hold, and return it."""
    folder.mkdir(parents=True)
    write_invented_bundle(folder, disclosure=disclosure, copies=copies, points=points)
    likelihood = Likelihood(read_likelihood(folder))
    best = fit(likelihood)
    observed = {
        "asimov": None, "status": "ok", "trusted": True, "twice_nll": best.twice_nll,
        "parameters": {
            name: {"value": float(value), "uncertainty": 0.1}
            for name, value in zip(likelihood.names, best.theta, strict=True)
        },
    }  # fmt: skip
    results = {
        "schema": "bundle-results/1.0.0", "run_id": "0" * 16, "likelihood": "invented", "poi": "mu",
        "observed": observed, "expected": None,
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "diagnostics.json").write_text("{}")
    for name in ("LICENSE.txt", "CITATION.cff", "index.html"):
        (folder / name).write_text(f"{name} of an invention\n")
    seal(folder)
    return folder


def seal(folder: Path) -> None:
    """Make the digests those of what lies there, as somebody does who changes a bundle and knows the format."""
    body = json.loads((folder / MANIFEST_FILE).read_text())
    beside = {MANIFEST_FILE, SUMS_FILE, SIGNATURE_FILE}
    body["files"] = {
        path.name: {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name not in beside
    }
    (folder / MANIFEST_FILE).write_text(json.dumps(body))
    digests = {name: entry["sha256"] for name, entry in body["files"].items()}
    (folder / SUMS_FILE).write_bytes(sums_text({**digests, MANIFEST_FILE: sha256_file(folder / MANIFEST_FILE)}))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file in place."""
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))
