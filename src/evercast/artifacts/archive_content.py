"""What stands in an archive beside its digests: receipts and inventories that agree, and nothing that could be run.

Whoever makes a hostile archive can make its manifests agree with it. What is compared here has to agree too, and is
refused by its content before any library that unpacks objects, follows links or decodes chunks is given it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any, Final

from evercast.artifacts.archive import StoredVersion, leads_out
from evercast.artifacts.files import parse_json
from evercast.errors import IntegrityError

__all__ = ["check_content", "check_receipts"]

_OURS: Final = re.compile(r"data/(units/(?!command/)|results/|bundles/|[a-z_]+\.json$)")
"""What evercast itself writes; the files of the user's own stages and document may be of any kind."""
_PICKLE: Final = re.compile(rb"\x80[\x02-\x05]")
_OBJECT_SUFFIXES: Final = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill", ".eqx", ".npz", ".zarray", ".zgroup")
_JSON_LIMIT: Final = 8 << 20
"""Larger ones are left to whoever reads them, so that a verification needs little memory."""
_CODECS: Final = frozenset({"sharding_indexed", "bytes", "blosc", "crc32c"})
_HEADER_LIMIT: Final = 100 << 20


def check_content(version: StoredVersion) -> int:
    """Return the number of files that were looked into, after nothing was found in them that must not be.

    Raises:
        IntegrityError: ``content.pickle``, ``content.safetensors``, ``content.codec``, ``content.inventory``,
            ``content.receipt`` or ``artifact.not-json``, naming the file.
    """
    names = [name for name in version.bag.files if _OURS.match(name)]
    for name in names:
        _check_file(version, name)
    check_receipts(version)
    return len(names)


def check_receipts(version: StoredVersion) -> None:
    """Refuse receipts of units that are missing, those of others, or list other files than lie beside them.

    Raises:
        IntegrityError: ``content.receipt``.
    """
    fetched = {entry.sha256 for entry in version.record.inputs if entry.url is not None}
    for unit in version.record.units:
        _check_receipt(version, f"data/units/{unit.stage}/{unit.id}", unit.key, fetched)


def _check_file(version: StoredVersion, name: str) -> None:
    last = name.rsplit("/", 1)[-1]
    if last.endswith(_OBJECT_SUFFIXES):
        raise _refused(version, name, "content.pickle", "it is of a kind that can run code when it is read")
    if "." in last:
        with version.content.open(name) as stream:
            begin = stream.read(16)
        if _PICKLE.match(begin):
            raise _refused(version, name, "content.pickle", "it is a pickle, which runs code when it is read")
        if last.endswith(".safetensors"):
            _check_header(version, name, begin)
    if last.endswith(".json") and version.bag.sizes[name] <= _JSON_LIMIT:
        body = parse_json(version.content.read(name), where=version.content.where(name))
        if last == "zarr.json":
            _check_codecs(version, name, body)
        elif last == "inventory.json":
            _check_inventory(version, name, body)


def _check_header(version: StoredVersion, name: str, begin: bytes) -> None:
    """Refuse a file whose first bytes are not the length of a header and its first brace."""
    length = int.from_bytes(begin[:8], "little")
    if len(begin) < 10 or begin[8:9] != b"{" or not 2 <= length <= min(_HEADER_LIMIT, version.bag.sizes[name] - 8):
        raise _refused(version, name, "content.safetensors", "it does not begin as a safetensors file")


def _check_codecs(version: StoredVersion, name: str, body: object) -> None:
    wrong = sorted(set(_codecs(body)) - _CODECS)
    if wrong:
        what = f"it asks for the codec {wrong[0][:60]!r}; evercast writes {', '.join(sorted(_CODECS))}"
        raise _refused(version, name, "content.codec", what)


def _codecs(body: object) -> Iterator[str]:
    """Yield the name of every codec, those inside others too."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            for key, part in value.items():
                if key in ("codecs", "index_codecs"):
                    yield from (str(each.get("name")) if isinstance(each, dict) else str(each) for each in part or ())
                waiting.append(part)


def _check_inventory(version: StoredVersion, name: str, body: object) -> None:
    """Compare the inventory of a folder of arrays with what lies in the folder."""
    folder = name.rsplit("/", 1)[0]
    listed = body.get("files") if isinstance(body, dict) else None
    found = {key.removeprefix(f"{folder}/"): digest for key, digest in version.bag.files.items() if _in(key, folder)}
    found.pop("inventory.json", None)
    _compare(version, name, "content.inventory", listed, found)


def _check_receipt(version: StoredVersion, folder: str, key: str, fetched: Set[str]) -> None:
    """Compare the receipt of a unit with its files; what a fetch brought lies under its digest."""
    name = f"{folder}/receipt.json"
    if name not in version.bag.files:
        raise _refused(version, name, "content.receipt", "the unit has no receipt")
    body = parse_json(version.content.read(name), where=version.content.where(name))
    if not isinstance(body, dict) or body.get("key") != key:
        raise _refused(version, name, "content.receipt", "it is that of another unit")
    found = {each.removeprefix(f"{folder}/"): digest for each, digest in version.bag.files.items() if _in(each, folder)}
    found.pop("receipt.json")
    listed = body.get("files")
    if outside := next((each for each in listed if leads_out(each)), None) if isinstance(listed, dict) else None:
        raise _refused(version, name, "content.receipt", f"it names a file outside of its unit: {outside[:100]!r}")
    if folder.startswith("data/units/fetch/") and not found:
        _compare(version, name, "content.receipt", listed, _known(listed, fetched))
        return
    _compare(version, name, "content.receipt", listed, found)


def _known(listed: object, fetched: Set[str]) -> dict[str, str]:
    """Return those of the listed files whose digests are those of inputs that the record names."""
    entries = listed.items() if isinstance(listed, dict) else ()
    said = ((name, entry.get("sha256") if isinstance(entry, dict) else None) for name, entry in entries)
    return {name: digest for name, digest in said if isinstance(digest, str) and digest in fetched}


def _compare(version: StoredVersion, name: str, code: str, listed: Any, found: Mapping[str, str]) -> None:
    if not isinstance(listed, dict):
        raise _refused(version, name, code, "it lists no files")
    said = {key: entry.get("sha256") if isinstance(entry, dict) else None for key, entry in listed.items()}
    if wrong := sorted(key for key in said.keys() | found.keys() if said.get(key) != found.get(key)):
        raise _refused(version, name, code, f"it does not agree with what lies beside it: {', '.join(wrong[:5])}")


def _in(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/")


def _refused(version: StoredVersion, name: str, code: str, reason: str) -> IntegrityError:
    return IntegrityError(reason, code=code, where=version.content.where(name))
