"""The process that reads the event files of a stranger: alone, with bounded memory, so that a crash is only its own.

It reads a task as JSON from standard input and writes the answer as JSON to standard output.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any, Final

from evercast.errors import EvercastError
from evercast.reinterpretation.requests.event_scan import scan_file
from evercast.reinterpretation.requests.model import SampleFile
from evercast.spec.codec import from_json, to_json

__all__ = ["main"]

_MOST_MEMORY: Final = 8 << 30
"""Address space, byte: libraries map much more than they use."""


def main(task: dict[str, Any]) -> dict[str, Any]:
    """Return what the files of a task hold, or the first error as its JSON form with the number of the file."""
    seen: set[int] = set()
    found = []
    for number, entry in enumerate(task["files"]):
        stated = from_json(SampleFile, entry["stated"])
        try:
            scanned = scan_file(
                Path(entry["path"]), stated, weight=task["weight"], wanted=tuple(task["wanted"]), seen=seen
            )
        except EvercastError as err:
            return {"error": err.to_json(), "file": number}
        except MemoryError:
            return {"error": None, "file": number}
        found.append(to_json(scanned))
    return {"files": found}


if __name__ == "__main__":
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = _MOST_MEMORY if limit == resource.RLIM_INFINITY else min(limit, _MOST_MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (most, limit))
    answer = main(json.load(sys.stdin))
    sys.stdout.write(json.dumps(answer))
