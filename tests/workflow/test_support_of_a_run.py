"""What the domain of a finished run gives away follows from its document."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np

from evercast.artifacts.event_table import read_event_table
from evercast.artifacts.validity import SUPPORT_FILE, examine, read_points, read_validity
from evercast.publication.publication_source import open_run
from evercast.publication.validity import add_validity
from evercast.schemas import load_schema


def test_points_of_the_support_are_published_only_where_the_document_says_so(toy_run: Path, tmp_path: Path) -> None:
    context = open_run(toy_run / "analysis.yaml", results=toy_run / "results" / "toy").bundles["neural"]
    declared = context.analysis.publish.neural_likelihood
    assert declared is not None
    assert declared.support == "points"
    found = {}
    for support in ("points", "ranges"):
        publish = replace(context.analysis.publish, neural_likelihood=replace(declared, support=support))
        folder = tmp_path / support
        folder.mkdir()
        said = add_validity(folder, replace(context, analysis=replace(context.analysis, publish=publish)))
        assert said["support"] == (SUPPORT_FILE if support == "points" else None)
        assert (folder / SUPPORT_FILE).exists() == (support == "points")
        body = json.loads((folder / "validity.json").read_text())
        assert list(jsonschema.Draft202012Validator(load_schema("validity")).iter_errors(body)) == []
        found[support] = read_validity(folder)
    given, kept = (found[support].ensembles["ratios"] for support in ("points", "ranges"))
    assert given.support is not None
    assert given.support.points_are.startswith("simulated training events")
    assert kept == replace(given, support=None)
    assert "joint density is not tested" in found["ranges"].outside.rule
    assert read_points(tmp_path / "ranges", found["ranges"]) == {}
    place = next((toy_run / "results/toy/work/selection").glob("observed-*"))
    events = read_event_table(place / "events.zarr").in_region("SR").columns(["x", "y"])
    nothing = np.zeros((0, 2), dtype=np.float32)
    assert examine(found["ranges"], "ratios", nothing, events).problems() == []
    assert examine(found["ranges"], "ratios", nothing, 1000.0 * events).problems() != []
