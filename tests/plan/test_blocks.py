import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercast.plan.blocks import choose_blocks, partition


@given(members=st.integers(1, 2000), size=st.integers(1, 2500))
def test_every_member_stands_in_exactly_one_block(members: int, size: int) -> None:
    blocks = partition(members, members_per_block=size)
    assert [member for block in blocks for member in block] == list(range(members))
    assert all(1 <= len(block) <= size for block in blocks)


@given(members=st.integers(1, 2000), seconds=st.floats(0, 1e6))
def test_every_member_stands_in_exactly_one_chosen_block_which_is_not_too_long(members: int, seconds: float) -> None:
    blocks = choose_blocks(members, seconds_per_member=seconds)
    assert [member for block in blocks for member in block] == list(range(members))
    assert all(len(block) == 1 or len(block) * seconds <= 3600 for block in blocks)


@given(members=st.integers(1, 500), more=st.integers(0, 500), seconds=st.floats(0, 1e4))
def test_more_members_leave_all_blocks_but_the_last_as_they_are(members: int, more: int, seconds: float) -> None:
    before = choose_blocks(members, seconds_per_member=seconds)
    after = choose_blocks(members + more, seconds_per_member=seconds)
    assert after[: len(before) - 1] == before[:-1]


@pytest.mark.parametrize(
    ("members", "seconds", "sizes"),
    [
        (4, 1.0, [4]),  # all last 4 s: one job
        (4, 8.0, [2, 2]),  # two last 16 s
        (5, 8.0, [2, 2, 1]),
        (4, 1000.0, [1, 1, 1, 1]),  # one lasts longer than a first job should
    ],
)
def test_quick_members_share_a_job_and_slow_ones_do_not(members: int, seconds: float, sizes: list[int]) -> None:
    assert [len(block) for block in choose_blocks(members, seconds_per_member=seconds)] == sizes


def test_ten_thousand_networks_become_a_few_hundred_blocks() -> None:
    processes, members, folds = 20, 100, 5
    blocks = processes * len(choose_blocks(members, seconds_per_member=folds * 60.0))
    assert processes * members * folds == 10_000
    assert blocks == 420
