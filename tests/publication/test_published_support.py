"""Whether simulated events are published is the choice of the document; where they are not, nothing gives them back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sealed_bundle import seal, write_sealed_bundle

from evercast.artifacts.validity import SUPPORT_FILE, read_points, read_validity
from evercast.artifacts.weights import write_tensors
from evercast.errors import IntegrityError
from evercast.publication.bundle_verify import verify_bundle
from evercast.publication.page_domain import domain_section
from evercast.schemas import load_schema
from evercast.stages.serialization.bundle import _vector_inputs

EVENTS = np.random.default_rng(1).normal(size=(5000, 3)) ** 3


def rows_of(found: np.ndarray) -> int:
    """How many rows are events of the sample."""
    return sum(bool((row == EVENTS).all(axis=1).any()) for row in found)


def test_vectors_are_at_events_or_at_none() -> None:
    given, kept = _vector_inputs(EVENTS, seed=None), _vector_inputs(EVENTS, seed=3)
    assert given.shape == kept.shape
    assert rows_of(given) >= 48
    assert rows_of(kept) == 0
    chosen = kept[: len(kept) - 11]  # edges and points outside are made of ranges in both
    assert not np.isin(chosen, EVENTS).any()
    assert np.all((chosen >= EVENTS.min(axis=0)) & (chosen <= EVENTS.max(axis=0)))
    np.testing.assert_array_equal(kept, _vector_inputs(EVENTS, seed=3))
    np.testing.assert_array_equal(given[-11:], kept[-11:])


def test_the_document_chooses(tmp_path: Path) -> None:
    choice = load_schema("analysis")["$defs"]["unbinned_publication"]["properties"]["support"]
    assert isinstance(choice, Mapping)
    assert (choice["enum"], choice["default"]) == (["points", "ranges"], "points")


@pytest.mark.parametrize("points", [True, False])
def test_a_bundle_is_verified_with_and_without_points(tmp_path: Path, points: bool) -> None:
    folder = write_sealed_bundle(tmp_path / "bundle", points=points)
    said = {one.name: one.detail for one in verify_bundle(folder).findings}
    assert said["domain"] == (
        "ranges and 600 points of the support are usable" if points
        else "ranges are usable; no points of a support are published"
    )  # fmt: skip
    section = repr(domain_section(folder, json.loads((folder / "manifest.json").read_text())))
    assert ("simulated training events" in section) is points
    assert ("no simulated events are published" in section) is not points


def test_points_that_the_domain_does_not_name_are_refused(tmp_path: Path) -> None:
    folder = write_sealed_bundle(tmp_path / "bundle", points=False)
    write_tensors(folder / SUPPORT_FILE, {"invented.points": np.zeros((9, 3), np.float32)}, {"format": "support/1.0.0"})
    seal(folder)
    with pytest.raises(IntegrityError, match=r"names no points of a support") as caught:
        verify_bundle(folder)
    assert caught.value.code == "bundle.disclosure"


def test_what_the_points_are_may_be_missing_in_older_files(tmp_path: Path) -> None:
    folder = write_sealed_bundle(tmp_path / "bundle")
    body = json.loads((folder / "validity.json").read_text())
    del body["ensembles"]["invented"]["support"]["points_are"]
    (folder / "validity.json").write_text(json.dumps(body))
    domain = read_validity(folder)
    support = domain.ensembles["invented"].support
    assert support is not None
    assert support == replace(support, points_are="simulated training events")
    assert len(read_points(folder, domain)["invented"]) == 600
