"""The response of an archived run to a request: response.json, response.html and the updated neural likelihoods."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from evercast.artifacts.files import atomic_write_bytes, make_folder, read_json
from evercast.errors import IntegrityError
from evercast.reinterpretation.neural.answers import NeuralAnswers, ProcessAnswer, UnitUse
from evercast.reinterpretation.neural.frozen import FrozenNeural
from evercast.reinterpretation.neural.page import neural_page
from evercast.reinterpretation.neural.point_parts import PointParts, point_parts
from evercast.reinterpretation.neural.response_points import point_body
from evercast.reinterpretation.neural.updated import write_updated_bundle
from evercast.reinterpretation.neural.verdict import excluded, neural_verdict
from evercast.reinterpretation.requests.response import asked_entry, finish_response, provenance
from evercast.spec import analysis_from_json
from evercast.spec.model import Analysis, Reference

__all__ = ["neural_body", "write_neural_response"]

_PACKAGES: Final = ("numpy", "scipy", "jax", "equinox", "optax")
_BUNDLES: Final = "bundles"


def write_neural_response(frozen: FrozenNeural, answers: NeuralAnswers) -> Path:
    """Write the response to a request and return its folder.

    Args:
        frozen: the request.
        answers: of all its points.

    Raises:
        EvercastError: ``internal``: the response is not valid by its own schema.
        IntegrityError: a file of a derived run is not what its receipt says, or an updated bundle does not verify.
        EnvironmentUnfit: the disk refuses.
    """
    trial = frozen.response.with_name(f".{frozen.response.name}.new")
    if trial.exists():
        shutil.rmtree(trial)
    make_folder(trial)
    for name in ("request.json", "request.yaml"):
        atomic_write_bytes(trial / name, (frozen.folder / name).read_bytes())
    analysis = _analysis(frozen)
    parts = [_with_bundle(point_parts(answer, frozen), trial) for answer in answers.points]
    body = neural_body(frozen, analysis, answers, parts)
    atomic_write_bytes(trial / "response.html", neural_page(analysis, parts, body).encode())
    return finish_response(trial, frozen.response, body)


def _analysis(frozen: FrozenNeural) -> Analysis:
    body = read_json(frozen.archive / "data" / "analysis.json")
    if not isinstance(body, Mapping):
        raise IntegrityError("the archived document is no object", code="request.frozen", where=str(frozen.archive))
    return analysis_from_json(body)


def _with_bundle(parts: PointParts, trial: Path) -> PointParts:
    """Return the parts of a point with its updated bundle, which is written; as they are where none is to be had."""
    answer = parts.answer
    if not isinstance(answer, ProcessAnswer) or answer.status not in {"ok", "at-bound"}:
        return parts
    if answer.run is None or answer.document is None or answer.plan is None:
        return parts
    make_folder(trial / _BUNDLES)
    target = trial / _BUNDLES / answer.name
    made = write_updated_bundle(
        target, document=answer.document, run=answer.run, plan=answer.plan, likelihood=answer.likelihood
    )
    return parts.with_bundle(made, folder=f"{_BUNDLES}/{answer.name}")


def neural_body(
    frozen: FrozenNeural, analysis: Analysis, answers: NeuralAnswers, parts: Sequence[PointParts]
) -> dict[str, object]:
    """Return the content of response.json, without the digests of the files beside it.

    Args:
        frozen: the request.
        analysis: the archived document.
        answers: to it.
        parts: what belongs to each answer, in the same order.
    """
    level = frozen.asked().wanted.confidence_level
    verdicts = [excluded(answer, level) for answer in answers.points]
    statuses = [answer.status for answer in answers.points]
    units = _units(answers)
    points = [point_body(part, frozen, analysis, excluded=out) for part, out in zip(parts, verdicts, strict=True)]
    return {
        "schema": "response/1.0.0",
        "kind": "run",
        "verdict": neural_verdict(answers, level),
        "request": asked_entry(frozen.request, run=frozen.run),
        "analysis": _described(frozen, analysis, answers),
        "wanted": dict(frozen.request["wanted"]),
        "axes": [],
        "counts": {
            "points": len(points), "excluded": sum(out is True for out in verdicts),
            "not_excluded": sum(out is False for out in verdicts), "no_events": statuses.count("no-events"),
            "failed": statuses.count("failed"), "refused": statuses.count("refused"),
        },
        "points": points,
        "ranges": [],
        "contour": None,
        "consistency": {"compared": 0, "agree": 0, "contradictions": [], "numbers": []},
        "backgrounds": [],
        "units": [
            {"id": unit.id, "stage": unit.stage, "key": unit.key, "origin": unit.origin, "seconds": unit.seconds}
            for unit in units
        ],
        "reused": {
            "background": None, "files": {},
            "results": [point["name"] for point in points if not point["computed"]],
            "units": [unit.id for unit in units if unit.origin != "computed"],
        },
        "provenance": provenance(_PACKAGES),
        "files": {},
    }  # fmt: skip


def _units(answers: NeuralAnswers) -> tuple[UnitUse, ...]:
    """Return the units of all points, each once; one that a point computed counts as computed."""
    found: dict[tuple[str, str], UnitUse] = {}
    for answer in answers.points:
        for unit in answer.units:
            known = found.get((unit.stage, unit.id))
            if known is None or unit.origin == "computed":
                found[unit.stage, unit.id] = unit
    return tuple(found.values())


def _described(frozen: FrozenNeural, analysis: Analysis, answers: NeuralAnswers) -> dict[str, object]:
    metadata = analysis.metadata
    cited = next((entry for entry in metadata.references if entry.arxiv or entry.doi), None)
    return {
        "name": answers.analysis, "title": answers.title, "digest": answers.archive, "likelihood": frozen.likelihood,
        "experiment": metadata.experiment, "beams": None, "sqrt_s_tev": list(metadata.sqrt_s_tev),
        "luminosity_fb": metadata.luminosity_fb, "license": metadata.license, "doi": cited.doi if cited else None,
        "paper": f"arXiv:{cited.arxiv}" if cited and cited.arxiv else None, "citation": None,
        "references": [{"title": entry.title, "link": _link(entry)} for entry in metadata.references],
    }  # fmt: skip


def _link(entry: Reference) -> str | None:
    if entry.doi:
        return f"https://doi.org/{entry.doi}"
    return f"https://arxiv.org/abs/{entry.arxiv}" if entry.arxiv else entry.url
