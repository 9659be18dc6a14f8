"""The last replay of an archive, kept beside the catalogue of the user, since archives are read only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evercast.artifacts.files import atomic_write_json, make_folder, read_json
from evercast.errors import EvercastError

__all__ = ["LastReplay", "last_replay", "record_replay", "replay_folder"]

_SCHEMA: Final = "last-replay/1.0.0"
_ID: Final = re.compile(r"[0-9a-f]{64}")
_WORDS: Final = {
    "same-bits": "reproduced bit for bit", "numeric": "reproduced within rounding",
    "statistical": "reproduced within what networks trained anew may differ by", "differs": "not reproduced",
    "not-compared": "run again, nothing compared",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReplay:
    """How a replay ended.

    Args:
        archive: id of the version that was replayed.
        time: when it ended, UTC, ISO 8601.
        verdict: of the comparison.
        reproduced: whether the same came out; None where nothing was compared.
        stage: that was run alone; None where all were.
        report: folder with replay.json and replay.html.
    """

    archive: str
    time: str
    verdict: str
    reproduced: bool | None
    stage: str | None
    report: str

    def __str__(self) -> str:
        word = _WORDS.get(self.verdict, self.verdict)
        if self.reproduced is False and self.verdict != "differs":
            word = f"not all reproduced ({word})"
        stage = "" if self.stage is None else f", stage {self.stage} alone"
        return f"{word} on {self.time[:10]}{stage}"


def replay_folder(catalogue: Path) -> Path:
    """Return where replays are kept.

    Args:
        catalogue: the file of the catalogue.
    """
    return catalogue.parent / "replays"


def record_replay(folder: Path, record: Mapping[str, Any], *, time: str, report: Path) -> bool:
    """Keep how a replay ended; return whether it was kept. A changed document is no replay of the archive.

    Args:
        folder: where replays are kept.
        record: content of replay.json.
        time: when it ended, UTC, ISO 8601.
        report: folder of the replay.
    """
    identity = record["archive"]
    if record["changed"] or _ID.fullmatch(identity) is None:
        return False
    body = {
        "schema": _SCHEMA, "archive": identity, "time": time, "verdict": record["verdict"],
        "reproduced": record["reproduced"], "stage": record["stage"], "report": str(report.absolute()),
    }  # fmt: skip
    with suppress(EvercastError):
        make_folder(folder)
        atomic_write_json(folder / f"{identity}.json", body)
        return True
    return False


def last_replay(folder: Path, archive: str | None) -> LastReplay | None:
    """Return the last replay of a version of an archive; None where none was kept, or it cannot be read.

    Args:
        folder: where replays are kept.
        archive: id of the version.
    """
    if archive is None or not (folder / f"{archive}.json").is_file():
        return None
    try:
        body = read_json(folder / f"{archive}.json")
    except EvercastError:
        return None
    if not isinstance(body, dict) or body.get("schema") != _SCHEMA or body.get("archive") != archive:
        return None
    texts = [body.get(key) for key in ("time", "verdict", "report")]
    stage, reproduced = body.get("stage"), body.get("reproduced")
    if not all(isinstance(text, str) for text in texts) or not isinstance(stage, str | None):
        return None
    return LastReplay(
        archive=archive, time=str(texts[0]), verdict=str(texts[1]), report=str(texts[2]), stage=stage,
        reproduced=reproduced if isinstance(reproduced, bool) else None,
    )  # fmt: skip
