"""Blocks of ensemble members: the unit of a training job.

One job per network does not scale (the orchestration of a job costs more than a small network), one job for all cannot
be spread or resumed. A block is a run of consecutive members of one process, with all their folds.

Where a block begins does not depend on how many members there are, so that more members leave the trained ones alone,
but for those of a last block that was not full.
"""

from __future__ import annotations

from math import log2
from typing import Final

__all__ = ["choose_blocks", "choose_variation_blocks", "partition"]

_FIRST_SECONDS: Final = 20.0
"""Device time of the first blocks, s: some starts of a job, and short, so that a small ensemble occupies all cores."""

_FIRST_VARIATION_SECONDS: Final = 3600.0
"""The same of variations and replicas, s: there are many of these series, which occupy the cores side by side."""

_LONGEST_SECONDS: Final = 3600.0
"""Device time of a block, s, that is not exceeded by joining members: short against losing it."""

_LONGEST_VARIATION_SECONDS: Final = 4 * 3600.0
"""The same of variations and replicas, s; a killed job goes on from the networks it has finished."""

_BLOCKS_OF_A_SIZE: Final = 4
"""Blocks of one process after which the next are twice as large. Snakemake handles some hundred jobs in seconds and ten
thousand in minutes."""


def choose_blocks(members: int, *, seconds_per_member: float) -> tuple[tuple[int, ...], ...]:
    """Return the members 0 ... `members` - 1 of one process cut in blocks.

    The first blocks last about 20 s; every four blocks their size doubles, as long as they last less than an hour. So
    members of which each lasts longer are alone in their block, and a hundred of 5 minutes make 21 blocks.

    Args:
        members: members of the ensemble.
        seconds_per_member: expected device time of one member with all its folds, s.

    Example:
        >>> [len(block) for block in choose_blocks(25, seconds_per_member=10)]
        [2, 2, 2, 2, 4, 4, 4, 4, 1]
    """
    return _growing(members, seconds_per_member=seconds_per_member, first=_FIRST_SECONDS, longest=_LONGEST_SECONDS)


def choose_variation_blocks(members: int, *, seconds_per_member: float) -> tuple[tuple[int, ...], ...]:
    """Return the members 0 ... `members` - 1 of one variation or replica cut in blocks, the first of about an hour.

    Fifty nuisance parameters and five processes make 500 series: with the short first blocks of `choose_blocks` a
    workflow would have thousands of jobs.

    Args:
        members: members of the ensemble.
        seconds_per_member: expected device time of one member with all its folds, s.

    Example:
        >>> [len(block) for block in choose_variation_blocks(20, seconds_per_member=300)]
        [8, 8, 4]
    """
    return _growing(
        members,
        seconds_per_member=seconds_per_member,
        first=_FIRST_VARIATION_SECONDS,
        longest=_LONGEST_VARIATION_SECONDS,
    )


def _growing(members: int, *, seconds_per_member: float, first: float, longest: float) -> tuple[tuple[int, ...], ...]:
    seconds = max(seconds_per_member, 1e-6)
    size, largest = _power_of_two(first / seconds), _power_of_two(longest / seconds)
    blocks: list[tuple[int, ...]] = []
    start = 0
    while start < members:
        blocks.append(tuple(range(start, min(start + size, members))))
        start += size
        if len(blocks) % _BLOCKS_OF_A_SIZE == 0:
            size = min(2 * size, largest)
    return tuple(blocks)


def _power_of_two(limit: float) -> int:
    """Return the largest power of two that is at most `limit`, at least 1."""
    return 1 << max(0, int(log2(limit)))


def partition(members: int, *, members_per_block: int) -> tuple[tuple[int, ...], ...]:
    """Return the members 0 ... `members` - 1 cut in blocks of one size, the last one possibly shorter.

    Example:
        >>> partition(5, members_per_block=2)
        ((0, 1), (2, 3), (4,))
    """
    starts = range(0, members, members_per_block)
    return tuple(tuple(range(start, min(start + members_per_block, members))) for start in starts)
