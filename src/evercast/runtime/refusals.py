"""A refusal inside a Snakefile, told as on our own command line instead of in a traceback of Snakemake's."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from evercast.artifacts.files import atomic_write_json
from evercast.errors import EvercastError
from evercast.runtime.folders import RunFolder

__all__ = ["told_plainly"]


@contextmanager
def told_plainly(config: Mapping[str, object]) -> Iterator[None]:
    """Turn an error of the block into one line on stderr and the exit code of the error.

    Snakemake hands an exit on as it is; of an exception it would show where in the Snakefile it came up. Where
    ``evercast run`` waits for Snakemake, it finds the error in the file for what keeps a run from beginning.

    Args:
        config: of Snakemake.

    Raises:
        SystemExit: with the exit code of the error.
    """
    try:
        yield
    except EvercastError as err:
        if "plan" in config:
            _record(err, RunFolder.of_plan(Path(str(config["plan"]))).run_error)
        sys.stdout.flush()
        print(f"error[{err.code}]: {err}", file=sys.stderr, flush=True)  # noqa: T201 - Snakemake has no other place for it
        raise SystemExit(err.exit_code) from err


def _record(err: EvercastError, file: Path) -> None:
    with suppress(OSError, EvercastError):  # the exit code and the line on stderr remain
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(file, err.to_json())
