"""Blocks of ensemble members: the unit of a training job.

One job per network does not scale (the orchestration of a job costs more than a small network), one job for all cannot
be spread or resumed. A block is a run of consecutive members of one process, with all their folds.
"""

from __future__ import annotations

from math import ceil
from typing import Final

__all__ = ["MOST_BLOCKS", "SECONDS_PER_JOB", "choose_members_per_block", "partition"]

SECONDS_PER_JOB: Final = 300.0
"""Device time that a training job is made to last, s: long against its start, short against losing it."""

MOST_BLOCKS: Final = 400
"""Blocks of one ensemble, at most; Snakemake handles a few hundred jobs in seconds and ten thousand in minutes."""


def choose_members_per_block(*, members: int, processes: int, seconds_per_member: float) -> int:
    """Return how many members one job trains.

    Args:
        members: members of the ensemble.
        processes: processes with networks; each has its own blocks.
        seconds_per_member: expected device time of one member with all its folds, s.

    Returns:
        Between 1 and `members`: as many as last `SECONDS_PER_JOB`, more where there would be above `MOST_BLOCKS`, then
        evened out over the blocks.
    """
    by_time = int(SECONDS_PER_JOB / max(seconds_per_member, 1e-6))
    by_count = ceil(members / max(1, MOST_BLOCKS // processes))
    largest = max(1, min(members, max(by_time, by_count)))
    return ceil(members / ceil(members / largest))


def partition(members: int, *, members_per_block: int) -> tuple[tuple[int, ...], ...]:
    """Return the members 0 ... `members` - 1 cut in blocks, the last one possibly shorter.

    Example:
        >>> partition(5, members_per_block=2)
        ((0, 1), (2, 3), (4,))
    """
    starts = range(0, members, members_per_block)
    return tuple(tuple(range(start, min(start + members_per_block, members))) for start in starts)
