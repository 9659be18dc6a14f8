"""A refusal inside a Snakefile, told as on our own command line instead of in a traceback of Snakemake's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from evercast.errors import EvercastError

__all__ = ["told_plainly"]


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn an error of the block into one line on stderr and the exit code of the error.

    Snakemake hands an exit on as it is; of an exception it would show where in the Snakefile it came up.

    Raises:
        SystemExit: with the exit code of the error.
    """
    try:
        yield
    except EvercastError as err:
        sys.stdout.flush()
        print(f"error[{err.code}]: {err}", file=sys.stderr, flush=True)  # noqa: T201 - Snakemake has no other place for it
        raise SystemExit(err.exit_code) from err
