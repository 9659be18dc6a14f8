"""Verifies and shows one version of an archive with nothing but the standard library of Python.

    python3 read_archive.py                  verify the version that this file lies in
    python3 read_archive.py FOLDER           verify the version in another folder
    python3 read_archive.py --list           every file with its sha256 and size
    python3 read_archive.py --show PATH      a JSON file as text; the tensors or arrays of a file or folder of numbers

It shares no code with evercast. The format, in short: the folder is a BagIt bag (RFC 8493). ``manifest-sha256.txt``
holds ``sha256  path`` for everything in ``data/``; its own sha256 is the id of the version. ``data/archive.json`` says
what is what. A signature in ``signatures/`` is over ``signatures/id.txt``. Licence of this program: Apache-2.0.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

TAG_FILES = ("bag-info.txt", "bagit.txt", "manifest-sha256.txt")
LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._+/-]{1,400})")
DECLARATION = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
FORMAT = "archive/1.0.0"
RECORD = "data/archive.json"


class DamagedError(Exception):
    """What was read is not what it must be."""


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def sha256(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal digits; a link is not followed."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    found = hashlib.sha256()
    with os.fdopen(handle, "rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def files_below(root: Path) -> dict[str, int]:
    """Return relative path -> size of every file; whatever is no plain file or folder is refused."""
    found: dict[str, int] = {}
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for name in sorted(entry.name for entry in (root / folder).iterdir()):
            path = f"{folder}/{name}" if folder else name
            status = (root / path).lstat()
            if stat.S_ISDIR(status.st_mode) and len(path) <= 400:
                waiting.append(path)
            elif stat.S_ISREG(status.st_mode):
                found[path] = status.st_size
            else:
                raise DamagedError(f"{path} is no plain file")
    return found


def read_manifest(root: Path, name: str) -> dict[str, str]:
    """Return path -> sha256 of a manifest."""
    entries: dict[str, str] = {}
    for number, line in enumerate((root / name).read_text(encoding="ascii").splitlines(), start=1):
        match = LINE.fullmatch(line)
        if match is None or ".." in match[2].split("/") or match[2].startswith("/"):
            raise DamagedError(f"{name}, line {number} is not `sha256  path`")
        if match[2] in entries:
            raise DamagedError(f"{name}, line {number}: {match[2]} stands twice")
        entries[match[2]] = match[1]
    return entries


def compare(what: str, listed: Iterable[str], there: Iterable[str]) -> None:
    """Refuse a difference between the names that are listed and those that are there."""
    for name in sorted(set(listed) - set(there)):
        raise DamagedError(f"{what} lists {name}, which is not there")
    for name in sorted(set(there) - set(listed)):
        raise DamagedError(f"{what} does not list {name}")


def verify(root: Path) -> tuple[str, dict[str, str], dict[str, int]]:
    """Return id, path -> sha256 and path -> size of a version, after everything was compared.

    Raises:
        DamagedError: with the first thing that is wrong.
    """
    there = files_below(root)
    for name in (*TAG_FILES, "tagmanifest-sha256.txt"):
        if name not in there:
            raise DamagedError(f"there is no {name}: this is no version of an archive")
    if (root / "bagit.txt").read_text(encoding="utf-8") != DECLARATION:
        raise DamagedError("bagit.txt is not of BagIt 1.0")
    sizes = {name: size for name, size in there.items() if name.startswith("data/")}
    others = [name for name in there if name not in sizes and not name.startswith("signatures/")]
    compare("the list of known files", [*TAG_FILES, "tagmanifest-sha256.txt"], others)
    tags, listed = read_manifest(root, "tagmanifest-sha256.txt"), read_manifest(root, "manifest-sha256.txt")
    compare("tagmanifest-sha256.txt", tags, TAG_FILES)
    compare("manifest-sha256.txt", listed, sizes)
    wrong = [name for name, digest in (*tags.items(), *listed.items()) if sha256(root / name) != digest]
    if wrong:
        raise DamagedError(f"{len(wrong)} files are not what their sha256 says: {', '.join(wrong[:10])}")
    identity = sha256(root / "manifest-sha256.txt")
    signed = root / "signatures" / "id.txt"
    if signed.exists() and signed.read_text(encoding="ascii") != f"{identity}  manifest-sha256.txt\n":
        raise DamagedError("signatures/id.txt is that of another version")
    return identity, listed, sizes


def read_json(path: Path) -> Any:
    """Return a JSON value; a key that stands twice and NaN are refused."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) != len(pairs):
            raise DamagedError(f"{path}: a key stands twice")
        return content

    def constant(name: str) -> None:
        raise DamagedError(f"{path}: {name} is no number")

    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except (ValueError, RecursionError) as err:
        raise DamagedError(f"{path} is no JSON: {err}") from err


def read_record(root: Path) -> Mapping[str, Any]:
    """Return the content of data/archive.json.

    Raises:
        DamagedError: it is of another format.
    """
    record: Any = read_json(root / RECORD)
    if not isinstance(record, dict) or record.get("schema") != FORMAT:
        raise DamagedError(f"{RECORD} is not of format {FORMAT}, which this program knows")
    return record


def tensors(path: Path) -> dict[str, tuple[str, list[int]]]:
    """Return name -> (type, shape) of a safetensors file: 8 bytes length, a JSON header, then the numbers."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(100 << 20, path.stat().st_size - 8):
            raise DamagedError(f"{path} does not begin as a safetensors file")
        header = json.loads(stream.read(length).decode("utf-8"))
    return {name: (entry["dtype"], entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def arrays(folder: Path) -> dict[str, tuple[str, list[int]]]:
    """Return name -> (type, shape) of a folder of arrays (zarr version 3)."""
    found = {}
    for place in sorted(folder.glob("*/zarr.json")):
        entry = read_json(place)
        found[place.parent.name] = (entry["data_type"], entry["shape"])
    return found


def show(root: Path, name: str, listed: Mapping[str, str]) -> None:
    """Print one file or folder of the payload."""
    name = name if name.startswith("data/") else f"data/{name}"
    inside = sorted(each for each in listed if each.startswith(f"{name}/"))
    if f"{name}/zarr.json" in listed:
        for array, (kind, shape) in arrays(root / name).items():
            say(f"{array:<30} {kind:<8} {shape}")
    elif inside:
        say("\n".join(inside))
    elif name not in listed:
        raise DamagedError(f"there is no {name}")
    elif name.endswith(".safetensors"):
        for tensor, (kind, shape) in tensors(root / name).items():
            say(f"{tensor:<60} {kind:<6} {shape}")
    elif name.endswith(".json"):
        say(json.dumps(read_json(root / name), indent=1, ensure_ascii=False))
    else:
        say(f"{listed[name]}  {name}")


def summarise(root: Path, identity: str, sizes: Mapping[str, int]) -> None:
    """Print what the version is."""
    record = read_record(root)
    stages: dict[str, int] = {}
    for unit in record["units"]:
        stages[unit["stage"]] = stages.get(unit["stage"], 0) + 1
    say(f"analysis   {record['name']}")
    say(f"version    {record['version']}, after {record['previous'] or 'none'}")
    say(f"id         {identity}")
    say(f"files      {len(sizes)}, {sum(sizes.values())} bytes; every sha256 is right")
    say(f"observed   {'SIMULATED PSEUDO-DATA, not collisions' if record['pseudo_data'] else 'as the document says'}")
    say(f"made by    evercast {record['code']['version']}, source in {record['code']['file']}")
    say(f"units      {', '.join(f'{stage} {count}' for stage, count in stages.items())}")
    for entry in record["inputs"]:
        if entry["file"] is None:
            place = entry["url"] or "a file beside the document"
            say(f"not in it  {entry['name']}: {place}, sha256 {entry['sha256']}, {entry['size']} bytes")
    for entry in record["images"]:
        say(f"image      {entry['name']} sha256 {entry['sha256']}{'' if entry['file'] else ', not in it'}")
    names = sorted(path.name for path in (root / "signatures").glob("*.sig"))
    say(f"signed by  {', '.join(names) or 'nobody'}")
    for name in names:
        say(f"  ssh-keygen -Y check-novalidate -n evercast -s signatures/{name} < signatures/id.txt")


def main(words: list[str] | None = None) -> int:
    """Run the program and return its exit code: 0, or 5 where something is not what it must be."""
    parser = argparse.ArgumentParser(description="Verify and show one version of an archive of evercast.")
    beside = Path(__file__).resolve().parents[1]
    parser.add_argument("folder", nargs="?", default=beside, type=Path, help="by default the one that this file is of")
    parser.add_argument("--list", action="store_true", help="every file with its sha256 and size")
    parser.add_argument("--show", metavar="PATH", help="one file or folder below data/")
    chosen = parser.parse_args(words)
    try:
        identity, listed, sizes = verify(chosen.folder)
        if chosen.list:
            for name, digest in listed.items():
                say(f"{digest}  {sizes[name]:>12}  {name}")
        elif chosen.show:
            show(chosen.folder, chosen.show, listed)
        else:
            summarise(chosen.folder, identity, sizes)
    except BrokenPipeError:  # whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (DamagedError, OSError, UnicodeDecodeError, KeyError, TypeError) as err:
        sys.stderr.write(f"error: {chosen.folder}: {err}\n")
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
