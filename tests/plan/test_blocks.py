import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercast.plan.blocks import MOST_BLOCKS, choose_members_per_block, partition


@given(members=st.integers(1, 2000), size=st.integers(1, 2500))
def test_every_member_stands_in_exactly_one_block(members: int, size: int) -> None:
    blocks = partition(members, members_per_block=size)
    assert [member for block in blocks for member in block] == list(range(members))
    assert all(1 <= len(block) <= size for block in blocks)


@given(members=st.integers(1, 2000), processes=st.integers(1, 200), seconds=st.floats(0, 1e6))
def test_the_chosen_size_is_possible_and_bounds_the_number_of_blocks(
    members: int, processes: int, seconds: float
) -> None:
    size = choose_members_per_block(members=members, processes=processes, seconds_per_member=seconds)
    assert 1 <= size <= members
    assert processes * len(partition(members, members_per_block=size)) <= max(MOST_BLOCKS, processes)


@pytest.mark.parametrize(
    ("members", "seconds", "size"),
    [
        (4, 1.0, 4),  # all last 4 s: one job
        (4, 100.0, 2),  # three would fit in a job; two blocks of two are even
        (4, 1000.0, 1),  # one lasts longer than a job should
    ],
)
def test_quick_members_share_a_job_and_slow_ones_do_not(members: int, seconds: float, size: int) -> None:
    assert choose_members_per_block(members=members, processes=1, seconds_per_member=seconds) == size


def test_ten_thousand_networks_become_a_few_hundred_blocks() -> None:
    processes, members, folds = 20, 100, 5
    size = choose_members_per_block(members=members, processes=processes, seconds_per_member=folds * 60.0)
    blocks = processes * len(partition(members, members_per_block=size))
    assert processes * members * folds == 10_000
    assert 100 <= blocks <= MOST_BLOCKS
