"""Which image a unit is computed in, and that its content is part of the key where it must be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from run_folders import command, freeze, named

from evercast.errors import InvalidInput
from evercast.plan import Unit
from evercast.plan.keys import input_key
from evercast.runtime.containers import folded
from evercast.runtime.image_choice import declared_environment, names_images
from workflow_documents import small_body, write_document

DIGEST = 64 * "1"


def named_image(folder: Path, digest: str, *, name: str = "tools") -> None:
    """Write beside the document what the name of an image stands for."""
    record = {"sha256": digest, "size_bytes": 1, "architecture": "amd64"}
    (folder / "analysis").mkdir(parents=True, exist_ok=True)
    body = {"schema": "images/1.0.0", "images": {name: record}}
    (folder / "analysis" / "images.yaml").write_text(yaml.safe_dump(body))


def unit(folder: Path, image: str = "tools") -> Unit:
    return named(freeze(folder, {"inside": command("echo x > {outputs.out}", container=image)}), "inside")


def test_the_content_behind_a_name_counts_and_the_name_does_not(tmp_path: Path) -> None:
    for place, digest, name in (("a", DIGEST, "tools"), ("b", DIGEST, "other"), ("c", 64 * "2", "tools")):
        named_image(tmp_path / place, digest, name=name)
    first, renamed, changed = unit(tmp_path / "a"), unit(tmp_path / "b", "other"), unit(tmp_path / "c")
    assert first.inputs["container.image"] == f"image:tools@sha256:{DIGEST}"
    assert first.key == renamed.key != changed.key
    assert first.needs() == ()


def test_an_image_counts_the_same_by_name_and_as_a_file() -> None:
    by_name = input_key(f"image:tools@sha256:{DIGEST}", keys={}, files={})
    assert by_name == input_key("file:tools.sif", keys={}, files={"tools.sif": DIGEST})


def test_an_unknown_name_is_refused_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERCAST_IMAGES", str(tmp_path / "empty"))
    named_image(tmp_path, DIGEST)
    with pytest.raises(InvalidInput, match="no image is named 'toolz'") as caught:
        unit(tmp_path, "toolz")
    assert (caught.value.code, caught.value.where) == ("image.unknown-name", "$.stages.inside.container")


def test_a_misspelt_environment_is_named(tmp_path: Path) -> None:
    content = small_body()
    content["environments"] = {"fortran": {}}
    content["stages"]["flow"] = command("echo x > {outputs.out}", container="fortrn")
    document = write_document(tmp_path, content)
    from evercast.runtime.plans import plan_document  # noqa: PLC0415

    with pytest.raises(InvalidInput) as caught:
        plan_document(document, pseudo=False)
    assert caught.value.hint == "did you mean 'fortran'?"


def test_what_the_document_declares_is_read_from_the_frozen_plan(tmp_path: Path) -> None:
    frozen = freeze(tmp_path)
    assert declared_environment(frozen.file) is None
    assert not names_images(frozen.file)


def test_few_inputs_are_bound_one_by_one_and_many_by_their_folder(tmp_path: Path) -> None:
    stage, elsewhere = tmp_path / "work" / "training", tmp_path / "x.csv"
    some = [stage / f"unit-{number}" for number in range(64)]
    assert folded([*some, elsewhere, elsewhere], shared=[stage]) == (*some, elsewhere)
    assert folded([*some, stage / "one-more", elsewhere], shared=[stage]) == (stage, elsewhere)
