"""An entry of the catalogue: a preserved analysis, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

__all__ = ["KINDS", "Entry", "Kind", "entry_from_json", "entry_to_json", "plain_entry"]

Kind = Literal["wrapped likelihood", "archive", "neural bundle", "analysis document"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which one of several of the same name is meant."""

_LONGEST: Final = 10_000
_ASKABLE: frozenset[Kind] = frozenset({"wrapped likelihood", "archive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A preserved analysis in the catalogue.

    Args:
        path: its document, folder or tar file; the index where it is kept elsewhere.
        kind: what it is.
        name: short name; the folder's where it cannot be read.
        title: what it searched for.
        digest: its identity; None where it cannot be read.
        experiment: who published it.
        signatures: final states, in words.
        inputs: what a request may bring.
        disclosure: what it shows of itself.
        version: number of a version of an archive; None for what has none.
        newest: whether it is the newest version of its archive.
        facts: further lines about it: (what, text).
        commands: what may be done with it: (what, command).
        url: where it can be had; None where it is here.
        index: the index that lists it; None where a folder was named.
        replayed: status and date of its last replay.
        problem: why it cannot be read; None where it can.
        exit_code: of that problem.
    """

    path: Path
    kind: Kind
    name: str
    title: str = ""
    digest: str | None = None
    experiment: str = ""
    signatures: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    disclosure: str = ""
    version: int | None = None
    newest: bool = True
    facts: tuple[tuple[str, str], ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    url: str | None = None
    index: Path | None = None
    replayed: str = "no replay recorded"
    problem: str | None = None
    exit_code: int = 0

    @property
    def askable(self) -> bool:
        """Whether requests can be sent to it."""
        return self.kind in _ASKABLE

    @property
    def shown_name(self) -> str:
        """The name that means this entry and no other: with digits of its digest where it has one."""
        return self.name if self.digest is None else f"{self.name}@{self.digest[:8]}"

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether every word stands somewhere in what the entry says of itself."""
        said = (
            self.name, self.title, self.experiment, self.kind, *self.signatures, *self.inputs, self.disclosure,
            *(text for _, text in self.facts), self.digest or "",
        )  # fmt: skip
        text = " ".join(said).lower()
        return all(word.lower() in text for word in words)


def plain_entry(entry: Entry) -> Entry:
    """Return an entry whose texts hold no character that a terminal takes for a command: strangers wrote them."""
    return replace(
        entry, title=_plain(entry.title), experiment=_plain(entry.experiment), disclosure=_plain(entry.disclosure),
        signatures=tuple(map(_plain, entry.signatures)),
        facts=tuple((what, _plain(text)) for what, text in entry.facts),
        problem=None if entry.problem is None else _plain(entry.problem),
    )  # fmt: skip


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)[:_LONGEST]


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON values; every key is written."""
    return {
        "name": entry.name, "kind": entry.kind, "title": entry.title, "digest": entry.digest,
        "experiment": entry.experiment, "signatures": list(entry.signatures), "inputs": list(entry.inputs),
        "disclosure": entry.disclosure, "version": entry.version, "newest": entry.newest, "askable": entry.askable,
        "facts": [{"what": what, "text": text} for what, text in entry.facts],
        "commands": [{"what": what, "command": text} for what, text in entry.commands],
        "replayed": entry.replayed, "path": str(entry.path), "url": entry.url,
        "index": None if entry.index is None else str(entry.index), "problem": entry.problem,
        "exit_code": entry.exit_code,
    }  # fmt: skip


def entry_from_json(body: Mapping[str, Any]) -> Entry:
    """Return the entry that `entry_to_json` wrote."""
    texts = {key: body[key] for key in ("name", "kind", "title", "digest", "experiment", "disclosure", "version")}
    return Entry(
        **texts, path=Path(body["path"]), newest=body["newest"], signatures=tuple(body["signatures"]),
        inputs=tuple(body["inputs"]), facts=tuple((one["what"], one["text"]) for one in body["facts"]),
        commands=tuple((one["what"], one["command"]) for one in body["commands"]), replayed=body["replayed"],
        url=body["url"], index=None if body["index"] is None else Path(body["index"]), problem=body["problem"],
        exit_code=body["exit_code"],
    )  # fmt: skip
