"""Losses of nominal networks stand apart from those of bootstrap and systematic networks; counts of overridden reds."""

from __future__ import annotations

import json
from pathlib import Path

from synthetic import synthetic_analysis

from evercast.publication.gate import publication_line
from evercast.publication.report.sections_networks import _training_blocks
from evercast.publication.report.units import Unit
from evercast.publication.report.view import JsonView


def _unit(folder: Path, name: str, epochs: int, **kind: object) -> Unit:
    path = folder / name
    path.mkdir()
    loss = {"training": [0.5] * epochs, "validation": [0.5] * epochs}
    body = {"process": "S", "variation": None, "points": [], "replica": None, **kind}
    body["networks"] = [{"member": 0, "fold": 0, "best_epoch": 1, "loss": loss}]
    (path / "training.json").write_text(json.dumps(body))
    return Unit(stage="training", name=name, path=path, key=None, inputs={}, receipt=JsonView())


def test_medians_are_those_of_nominal_networks(tmp_path: Path) -> None:
    analysis = synthetic_analysis()
    units = (
        _unit(tmp_path, "ratios-S-0", 10),
        _unit(tmp_path, "ratios-S-replica", 50, replica=3),
        _unit(tmp_path, "ratios-S-jes", 70, variation={"parameter": "jes", "direction": "up"}),
    )
    nominal, _, others = _training_blocks(analysis, "ratios", analysis.ensembles["ratios"], units)
    assert [[cell.text for cell in row][:3] for row in nominal.rows] == [["S", "1", "10"]]
    assert [[cell.text for cell in row][1:4] for row in others.rows] == [
        ["bootstrap replicas", "1", "50"],
        ["jes up", "1", "70"],
    ]


def test_red_checks_with_a_reason_are_counted_as_overridden() -> None:
    checks = [{"id": "a", "status": "red"}, {"id": "b", "status": "green"}]
    line = publication_line(
        {"checks": checks, "publication": {"allowed": True, "red": ["a"], "overridden": {"a": "x"}}}
    )
    assert "1 red (overridden)" in line
