"""Small archives for tests: every part that a version of a real one has, without a run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evercast.artifacts.archive import open_archive
from evercast.artifacts.bag import Bag, write_bag

HEADER = b'{"w":{"dtype":"F32","shape":[64],"data_offsets":[0,256]}}'
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + bytes(range(256))
KEY = hashlib.sha256(b"unit").hexdigest()


def array_files() -> dict[str, bytes]:
    """A folder of arrays as evercast writes them, as far as a verification looks."""
    chunk = b"\x28\xb5\x2f\xfd chunk"
    codecs = [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "bytes"}, {"name": "blosc"}]}}]
    files = {
        "zarr.json": json.dumps({"zarr_format": 3, "node_type": "group"}).encode(),
        "x/zarr.json": json.dumps({"zarr_format": 3, "shape": [2], "codecs": codecs}).encode(),
        "x/c/0": chunk,
    }
    return {**files, "inventory.json": inventory(files)}


def inventory(files: Mapping[str, bytes]) -> bytes:
    listed = {name: {"sha256": digest(content), "size": len(content)} for name, content in files.items()}
    return json.dumps({"format": "arrays/1.0.0", "files": listed}).encode()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unit_files(more: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """A finished unit with its receipt."""
    files = {"weights.safetensors": WEIGHTS, **{f"events.zarr/{name}": part for name, part in array_files().items()}}
    files |= more or {}
    return {**files, "receipt.json": receipt(files)}


def receipt(files: Mapping[str, bytes]) -> bytes:
    listed = {name: {"sha256": digest(content), "size": len(content)} for name, content in files.items()}
    return json.dumps({"unit": "ratios-1", "key": KEY, "files": listed}).encode()


def record(number: int = 1, previous: str | None = None, **changes: Any) -> dict[str, Any]:
    body = {
        "schema": "archive/1.0.0", "name": "toy", "version": number, "previous": previous, "plan": "0" * 64,
        "pseudo_data": False, "document": "data/document/analysis.yaml",
        "code": {"version": "0.1.0", "file": "data/code/evercast.tar.gz", "revision": None, "modified": False},
        "versions": {"numpy": "2"}, "inputs": [], "images": [],
        "units": [{"id": "ratios-1", "stage": "training", "key": KEY}],
    }  # fmt: skip
    return {**body, **changes}


def payload(content: str = "first", unit: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    files = {
        "document/analysis.yaml": b"name: toy\n", "code/evercast.tar.gz": b"\x1f\x8b source",
        "results/fit.json": json.dumps({"content": content}).encode(), "results/copy.json": b'{"a": 1}',
        "analysis.json": b'{"a": 1}',
    }  # fmt: skip
    return {**files, **{f"units/training/ratios-1/{name}": part for name, part in (unit or unit_files()).items()}}


def make_version(folder: Path, files: Mapping[str, bytes], body: object) -> Bag:
    """Write a version with these files and this record."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    for name, content in {**files, "archive.json": text}.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return write_bag(folder, info={"Bagging-Date": "2026-01-01", "External-Identifier": "toy"})


def make_archive(folder: Path, versions: int = 1) -> Path:
    """Write an archive whose versions differ in one small file."""
    previous = None
    for number in range(1, versions + 1):
        bag = make_version(folder / f"v{number}", payload(f"content {number}"), record(number, previous))
        previous = bag.id
    assert len(open_archive(folder).versions) == versions
    return folder


_MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def verify_apart(path: Path) -> tuple[int, str, float]:
    """Verify in a process of its own; return exit code, what it said on stderr, and its largest memory in MB."""
    command = [str(Path(sys.executable).parent / "evercast"), "verify", str(path)]
    environment = {**os.environ, "EVERCAST_KEYS": str(path.parent / "no-keys")}
    measured = [sys.executable, "-c", _MEASURED, *command]  # a small process: a child begins with its parent's memory
    done = subprocess.run(measured, capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stderr, int(done.stdout) / 1024
