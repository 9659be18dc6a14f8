"""Stage fetch on a real file."""

import hashlib

import pytest

from evercast.errors import EnvironmentUnfit, IntegrityError
from evercast.plan.recipes import FetchRecipe, Task
from evercast.spec.model import Source
from evercast.stages import fetch

CONTENT = b"x,y\n1,2\n"


@pytest.fixture
def task(tmp_path, monkeypatch):
    """A task whose only place to look is a folder of its own."""
    for name in ("data", "output", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("EVERCAST_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("EVERCAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EVERCAST_OFFLINE", "1")
    source = Source(
        url="https://example.org/a/numbers.csv",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
        license="CC0-1.0",
    )
    return Task(recipe=FetchRecipe(source=source), inputs={}, output=tmp_path / "output", checkpoint=tmp_path / "c")


def test_the_file_lies_in_the_output_under_its_own_name(task, tmp_path):
    (tmp_path / "data" / "numbers.csv").write_bytes(CONTENT)
    fetch.run(task)
    assert (task.output / "numbers.csv").read_bytes() == CONTENT
    assert [entry.name for entry in task.output.iterdir()] == ["numbers.csv"]


def test_another_content_of_the_same_name_is_refused(task, tmp_path):
    (tmp_path / "data" / "numbers.csv").write_bytes(CONTENT + b"3,4\n")
    with pytest.raises(IntegrityError, match=r"numbers\.csv: the file has sha256") as caught:
        fetch.run(task)
    assert caught.value.code == "source.checksum"
    assert list(task.output.iterdir()) == []


def test_a_file_that_cannot_be_had_is_named_with_the_way_out(task):
    with pytest.raises(EnvironmentUnfit, match="--pseudo-data") as caught:
        fetch.run(task)
    assert caught.value.code == "source.unavailable"
