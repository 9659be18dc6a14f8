"""Documents and runs for the tests of the workflow: variants of the toy analysis, written beside their files."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from evercast.plan import Plan, make_plan
from evercast.runtime.folders import RunFolder
from evercast.spec import load_analysis

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "specs" / "toy"


class _Yaml12Loader(yaml.SafeLoader):
    """Reads 5e-3 as a number, as YAML 1.2 and evercast do."""


_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", __import__("re").compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def body(name: str = "toy") -> dict[str, Any]:
    """The document of ``specs/NAME`` as plain values."""
    content: dict[str, Any] = yaml.load((ROOT / "specs" / name / "analysis.yaml").read_text(), _Yaml12Loader)  # noqa: S506
    return content


def small_body() -> dict[str, Any]:
    """The toy analysis without networks: it runs in seconds."""
    content = body()
    del content["ensembles"], content["likelihoods"]["neural"], content["publish"]["neural_likelihood"]
    return content


def with_stage(name: str, stage: Mapping[str, Any]) -> dict[str, Any]:
    """The small document with one more extra stage."""
    content = small_body()
    content["stages"][name] = dict(stage)
    return content


def changed(content: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at the dotted path replaced or added."""
    result = copy.deepcopy(dict(content))
    *parents, last = path.split(".")
    place: Any = result
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    place[int(last) if isinstance(place, list) else last] = value
    return result


def write_document(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write a document and the script it needs; return the document."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "make_events.py").exists():
        shutil.copy(TOY / "make_events.py", folder)
    document = folder / "analysis.yaml"
    document.write_text(yaml.safe_dump(dict(content), sort_keys=False))
    return document


def plan_of(folder: Path, content: Mapping[str, Any], *, pseudo: bool = False) -> Plan:
    """The plan of a document written to a folder."""
    document = write_document(folder, content)
    return make_plan(load_analysis(document), document_folder=document.parent, pseudo=pseudo)


def environment(**more: str) -> dict[str, str]:
    """The environment of the command line in a test: a cache of its own, no network."""
    return {**os.environ, "EVERCAST_OFFLINE": "1", "JAX_PLATFORMS": "cpu", **more}


def evercast(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [str(Path(sys.executable).parent / "evercast"), *words]
    return subprocess.run(
        command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=1200, check=False
    )


def snakemake(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Snakemake as its users do, with the profile that comes with evercast."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--profile", str(ROOT / "workflow" / "profiles" / "default"), *words]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300, check=False)


def receipts(folder: RunFolder) -> dict[str, dict[str, str]]:
    """unit -> file -> sha256 of everything finished in a run folder."""
    found = {}
    for path in sorted(folder.work.glob("*/*/receipt.json")):
        if path.is_relative_to(folder.damaged):  # put aside, not finished
            continue
        content = json.loads(path.read_text())
        found[content["unit"]] = {name: file["sha256"] for name, file in content["files"].items()}
    return found
