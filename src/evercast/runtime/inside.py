"""What runs in a container: ``python -I -m evercast.runtime.inside TASK.json`` computes one task.

Beside ``task.json`` it writes ``result.json`` with what computed it, or ``error.json``; the log goes to stderr. What is
read and written is as `evercast.runtime.compute` bound it. Given a folder instead, it computes ``task-0.json``,
``task-1.json``, ... as they appear there, until there is a file ``end``.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evercast import __version__
from evercast.artifacts.files import atomic_write_json, read_json
from evercast.errors import EnvironmentUnfit, EvercastError, InvalidInput, UsageError
from evercast.plan import recipe_from_json
from evercast.plan.recipes import StageName, Task
from evercast.runtime.compute import END_FILE, POLL_SECONDS, error_file, measure, result_file, task_file
from evercast.runtime.network_attempts import network_attempts
from evercast.runtime.provenance import PeakMemory
from evercast.runtime.stage_calls import call_stage
from evercast.spec.codec import to_json

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Compute the task in a file, or those of a folder, and return the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True)
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("evercast").setLevel(logging.INFO)
    if len(arguments) != 1:
        raise UsageError("give the file of one task, or a folder", code="inside.usage")
    place = Path(arguments[0])
    if place.is_dir():
        _serve(place)
        return 0
    return _compute(place)


def _serve(folder: Path) -> None:
    """Compute one task after the other; the error of one is written beside it and does not end the others."""
    number = 0
    while not (folder / END_FILE).exists():
        if (file := task_file(folder, number)).exists():
            _compute(file)
            number += 1
        else:
            time.sleep(POLL_SECONDS)


def _compute(file: Path) -> int:
    with _Recorder(error_file(file)) as recorder:
        stage, task = _read_task(file)
        peak, before = PeakMemory(), network_attempts()
        call_stage(stage, task)
        after = network_attempts()
        attempts = None if before is None or after is None else after - before
        atomic_write_json(result_file(file), to_json(replace(measure(peak), network_attempts=attempts)))
    return recorder.code


def _read_task(file: Path) -> tuple[StageName, Task[Any]]:
    body: Any = read_json(file)
    try:
        recipe = recipe_from_json(body["stage"], body["recipe"])
    except (InvalidInput, KeyError) as err:
        raise EnvironmentUnfit(
            f"evercast {__version__} in the image does not understand the task of evercast outside: {err}",
            code="container.version",
            hint="build the image again from the evercast that runs: evercast image build evercast",
        ) from err
    task = Task(
        recipe=recipe,
        inputs={name: Path(path) for name, path in body["inputs"].items()},
        output=Path(body["output"]),
        checkpoint=Path(body["checkpoint"]),
        compiled=Path(body["compiled"]),
        threads=body["threads"],
        gpus=body["gpus"],
    )
    return body["stage"], task


class _Recorder:
    """Writes the error that ends its block, also one that is a defect, and keeps its exit code."""

    def __init__(self, file: Path) -> None:
        self._file, self.code = file, 0

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: object) -> bool:
        if err is None or isinstance(err, SystemExit | KeyboardInterrupt):
            return False
        known = err if isinstance(err, EvercastError) else EvercastError(f"internal error: {type(err).__name__}: {err}")
        if known is not err:
            traceback.print_exception(err)
        self.code = known.exit_code
        body: Mapping[str, object] = known.to_json()
        atomic_write_json(self._file, body)
        return True


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
