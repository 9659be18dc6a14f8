"""Documents besides the analysis become dataclasses, or a list of everything that is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from evercast.errors import InvalidDocument
from evercast.spec.documents import load_document
from evercast.spec.model import Parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Parametrisation:
    """Keys of a parametrisation."""

    parameters: dict[str, Parameter] = field(default_factory=dict)
    coefficients: dict[str, str]


def _written(folder: Path, text: str) -> Path:
    path = folder / "width.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_keys_left_out_get_the_default_of_the_schema(tmp_path: Path) -> None:
    path = _written(tmp_path, "schema: parametrisation/1.0.0\nparameters: {kappa: {initial: 1, poi: true}}\n")
    found = load_document(path, "parametrisation", Parametrisation)
    assert found == Parametrisation(parameters={"kappa": Parameter(initial=1, poi=True)}, coefficients={})


def test_every_problem_is_named_with_its_line(tmp_path: Path) -> None:
    text = "schema: parametrisation/1.0.0\nparameters:\n  kappa: {bound: [0, 2]}\ncoefficients:\n  S: 3\n"
    with pytest.raises(InvalidDocument) as caught:
        load_document(_written(tmp_path, text), "parametrisation", Parametrisation)
    assert [(item.path, item.line, item.code) for item in caught.value.problems] == [
        ("$.parameters.kappa.bound", 3, "spec.unknown-key"),
        ("$.coefficients.S", 5, "spec.wrong-type"),
    ]


def test_a_document_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument) as caught:
        load_document(_written(tmp_path, "schema: combination/1.0.0\n"), "parametrisation", Parametrisation)
    assert "found combination/1.0.0; expected parametrisation/1.0.0" in str(caught.value).replace(
        "the text ", ""
    ).replace("'", "")
