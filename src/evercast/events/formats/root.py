"""ROOT files with a TTree or an RNTuple."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import awkward as ak
import uproot

from evercast.errors import InvalidInput
from evercast.events.formats.base import FileFacts, chosen_columns, damaged, empty, stream_errors, truncated

__all__ = ["RootFile", "check_root_size", "open_root", "root_errors"]

_KINDS: Final = ("TTree", "ROOT::RNTuple", "TNtuple", "TNtupleD")
_BIG_FILE: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFile:
    """A TTree or RNTuple in a ROOT file."""

    path: Path
    tree: str
    columns: tuple[str, ...]
    facts: FileFacts
    format: Literal["root"] = "root"

    def chunks(self, step: int, columns: Sequence[str] | None = None) -> Iterator[ak.Array]:
        """Yield records of the columns, `step` events at a time.

        Raises:
            InvalidInput: ``sample.format`` or ``sample.truncated``.
        """
        names = list(chosen_columns(self.path, columns, self.columns))
        rows = 0
        with root_errors(self.path), uproot.open(self.path) as opened:
            for batch in opened[self.tree].iterate(names, step_size=step, library="ak"):
                rows += len(batch)
                yield batch
        if rows != self.facts.n_events:
            raise truncated(self.path, f"{rows} events were read; {self.tree!r} states {self.facts.n_events}")


@contextmanager
def root_errors(path: Path) -> Iterator[None]:
    """Turn what uproot raises on a damaged file into an error that names the file.

    Raises:
        InvalidInput: ``sample.format``.
    """
    try:
        with stream_errors(path):
            yield
    except (uproot.DeserializationError, uproot.KeyInFileError, zlib.error, struct.error, *_DAMAGE) as err:
        raise damaged(path, f"the ROOT file is damaged: {type(err).__name__}: {str(err).strip()[:300]}") from err


_DAMAGE: Final = (
    ValueError,
    OSError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    MemoryError,
)


def check_root_size(path: Path) -> None:
    """Compare the size of a ROOT file with the end that its header states.

    Raises:
        InvalidInput: ``sample.truncated``.
    """
    with stream_errors(path), path.open("rb") as stream:
        head = stream.read(20)
    if len(head) < 20:
        raise truncated(path, f"the ROOT file has {len(head)} bytes")
    (version,) = struct.unpack(">i", head[4:8])
    (end,) = struct.unpack(">q", head[12:20]) if version >= _BIG_FILE else struct.unpack(">i", head[12:16])
    size = path.stat().st_size
    if size < end:
        raise truncated(path, f"the ROOT file has {size} bytes; its header states {end}")


def open_root(path: Path, tree: str | None) -> RootFile:
    """Open the TTree or RNTuple `tree`, or the only one there is.

    Raises:
        InvalidInput: ``sample.truncated``, ``sample.format``, ``sample.tree`` (none, or several, or not the named one),
            ``sample.empty``.
    """
    check_root_size(path)
    with root_errors(path), uproot.open(path) as opened:
        kinds = opened.classnames(recursive=True)
        there = tuple(dict.fromkeys(name.split(";")[0] for name, kind in kinds.items() if kind in _KINDS))
        name = _chosen(path, tree, there, tuple(name.split(";")[0] for name in kinds))
        found = opened[name]
        events = int(found.num_entries)
        columns = tuple(key for key in found.keys(recursive=False))
    if events == 0:
        raise empty(path, f"{name!r} holds no events")
    return RootFile(path=path, tree=name, columns=columns, facts=FileFacts(n_events=events))


def _chosen(path: Path, tree: str | None, there: tuple[str, ...], objects: tuple[str, ...]) -> str:
    if tree is not None and tree in there:
        return tree
    listed = f"there are: {', '.join(there)}" if there else f"there is none; the file has: {', '.join(objects[:20])}"
    if tree is not None:
        raise InvalidInput(f"there is no TTree or RNTuple {tree!r}; {listed}", code="sample.tree", where=str(path))
    if len(there) != 1:
        raise InvalidInput(
            f"one TTree or RNTuple is expected; {listed}",
            code="sample.tree",
            where=str(path),
            hint="name it with 'tree'",
        )
    return there[0]
