"""The response to a request: response.json, response.html, patchset.json; written whole or not at all."""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from jsonschema import Draft202012Validator

from evercast import __version__
from evercast.artifacts.files import atomic_write_bytes, atomic_write_json, canonical_json, make_folder, sha256_file
from evercast.errors import EvercastError
from evercast.reinterpretation.requests.answers import Answer, Answers, efficiency_limit
from evercast.reinterpretation.requests.backgrounds import ChannelContent, channel_contents
from evercast.reinterpretation.requests.consistency import Compared, contradictions
from evercast.reinterpretation.requests.exclusion import contour_lines
from evercast.reinterpretation.requests.frozen import FrozenRequest
from evercast.reinterpretation.requests.page import response_page
from evercast.reinterpretation.requests.patchset import patchset_of
from evercast.reinterpretation.requests.selection_shown import selection_to_json, units_to_json
from evercast.reinterpretation.requests.verdict import verdict_sentence
from evercast.reinterpretation.wrapped.model import Metadata, analysis_digest
from evercast.schemas import load_schema, registry

__all__ = ["asked_entry", "finish_response", "provenance", "response_body", "write_response"]

_PACKAGES: Final = ("numpy", "scipy", "iminuit", "jsonpatch")


def write_response(frozen: FrozenRequest, answers: Answers, *, computed: Collection[str]) -> Path:
    """Write the response to a request and return its folder.

    Args:
        frozen: the request.
        answers: of all its points.
        computed: keys of the points that this run computed.

    Raises:
        EvercastError: ``internal``: the response is not valid by its own schema.
        EnvironmentUnfit: the disk refuses.
    """
    target = frozen.response
    trial = target.with_name(f".{target.name}.new")
    if trial.exists():
        shutil.rmtree(trial)
    make_folder(trial)
    atomic_write_json(trial / "patchset.json", patchset_of(frozen))
    for name in ("background.json", "request.json", "analysis.json"):
        atomic_write_bytes(trial / name, (frozen.folder / name).read_bytes())
    contents = channel_contents(frozen)
    body = response_body(frozen, answers, contents, computed=computed)
    atomic_write_bytes(trial / "response.html", response_page(frozen, answers, contents, body).encode())
    return finish_response(trial, target, body)


def finish_response(trial: Path, target: Path, body: dict[str, object]) -> Path:
    """Write response.json with the digests of all files beside it, move the folder to its place and return that.

    Args:
        trial: folder that is whole but for response.json.
        target: where it belongs; what is there is replaced.
        body: of response.json.

    Raises:
        EvercastError: ``internal``: the response is not valid by its own schema.
        EnvironmentUnfit: the disk refuses.
    """
    body["files"] = {path.name: sha256_file(path) for path in sorted(trial.iterdir()) if path.is_file()}
    _check(body)
    atomic_write_json(trial / "response.json", body)
    if target.exists():
        shutil.rmtree(target)
    make_folder(target.parent)
    trial.rename(target)
    return target


def _check(body: Mapping[str, object]) -> None:
    validator = Draft202012Validator(load_schema("response"), registry=registry())
    problem = next(iter(validator.iter_errors(body)), None)
    if problem is not None:
        raise EvercastError(f"the response is not valid: {problem.json_path}: {problem.message}")


def asked_entry(request: Mapping[str, object], *, run: str) -> dict[str, object]:
    """Return what a response says of the request that it answers.

    Args:
        request: canonical form.
        run: identity of the run.
    """
    digest = hashlib.sha256(canonical_json(request)).hexdigest()
    return {**{key: request[key] for key in ("name", "title", "requester")}, "digest": digest, "run": run}


def response_body(
    frozen: FrozenRequest, answers: Answers, contents: Sequence[ChannelContent], *, computed: Collection[str]
) -> dict[str, object]:
    """Return the content of response.json, without the digests of the files beside it."""
    found, units = answers.answers, units_to_json(frozen)
    return {
        "schema": "response/1.0.0",
        "kind": "likelihood",
        "verdict": verdict_sentence(frozen, answers),
        "request": asked_entry(frozen.request, run=frozen.run),
        "analysis": _analysis(frozen),
        "wanted": dict(frozen.request["wanted"]),
        "axes": [{"name": axis.name, "title": axis.title, "unit": axis.unit} for axis in frozen.analysis.axes],
        "counts": {
            "points": len(found), "excluded": answers.count(excluded=True),
            "not_excluded": answers.count(excluded=False), "no_events": len(answers.having("no-events")),
            "failed": len(answers.having("failed")),
        },
        "points": [_point(frozen, answer, computed) for answer in found],
        "ranges": [
            {
                "at": list(entry.at), "covered": list(entry.covered),
                "observed": [list(ends) for ends in entry.observed],
                "expected": [list(ends) for ends in entry.expected],
            }
            for entry in answers.ranges
        ],
        "contour": _contour(frozen, answers),
        "consistency": _consistency(answers),
        "backgrounds": [_channel(content) for content in contents],
        "units": units,
        "reused": {
            "background": frozen.analysis.likelihoods[frozen.likelihood].background.sha256,
            "files": {name: file.sha256 for name, file in frozen.analysis.files.items()},
            "results": [answer.point.name for answer in found if answer.point.key not in computed],
            "units": [str(unit["id"]) for unit in units if unit["origin"] != "computed"],
        },
        "provenance": provenance(_PACKAGES),
        "files": {},
    }  # fmt: skip


def provenance(packages: Sequence[str]) -> dict[str, object]:
    """Return with which versions a response is computed."""
    return {
        "evercast": __version__, "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }  # fmt: skip


def _channel(content: ChannelContent) -> dict[str, object]:
    return {
        "name": content.name,
        "samples": [{"name": name, "events": bins.tolist()} for name, bins in content.samples.items()],
        "uncertainty": None if content.uncertainty is None else content.uncertainty.tolist(),
        "observed": None if content.observed is None else content.observed.tolist(),
    }


def _references(metadata: Metadata) -> list[dict[str, object]]:
    paper = metadata.paper or ""
    known = (
        ("publication", metadata.paper, f"https://arxiv.org/abs/{paper[6:]}" if paper.startswith("arXiv:") else None),
        ("record", metadata.doi, f"https://doi.org/{metadata.doi}"),
    )  # fmt: skip
    return [{"title": f"{what} {text}", "link": link} for what, text, link in known if text is not None]


def _analysis(frozen: FrozenRequest) -> dict[str, object]:
    analysis, metadata = frozen.analysis, frozen.analysis.metadata
    return {
        "name": analysis.name, "title": analysis.title, "digest": analysis_digest(analysis),
        "likelihood": frozen.likelihood, "experiment": metadata.experiment, "beams": metadata.beams,
        "sqrt_s_tev": [metadata.sqrt_s_tev], "luminosity_fb": metadata.luminosity_fb, "license": metadata.license,
        "doi": metadata.doi, "paper": metadata.paper, "citation": metadata.citation,
        "references": _references(metadata),
    }  # fmt: skip


def _point(frozen: FrozenRequest, answer: Answer, computed: Collection[str]) -> dict[str, object]:
    point, sigma = answer.point, answer.point.cross_section_pb
    total = sum(sum(bins) for bins in point.events.values())
    produced = None if sigma is None else sigma * 1000.0 * frozen.analysis.metadata.luminosity_fb
    limit = answer.limit_observed
    return {
        "name": point.name, "values": list(point.values), "origin": point.origin, "status": answer.status,
        "excluded": answer.excluded, "cls": answer.body["cls"], "limit": answer.body["limit"],
        "cross_section_pb": sigma, "limit_pb": None if limit is None or sigma is None else limit * sigma,
        "events": {name: list(bins) for name, bins in point.events.items()},
        "efficiency": None if produced is None else total / produced,
        "efficiency_limit": efficiency_limit(point.generated_events, frozen.wanted.confidence_level)
        if answer.status == "no-events" else None,
        "guard": answer.body["guard"], "remarks": _remarks(answer), "failure": answer.body["failure"],
        "patch_sha256": point.digest, "key": point.key, "computed": point.key in computed,
        "selection": selection_to_json(frozen, point), "process": None, "model_point": None, "parametrisation": None,
    }  # fmt: skip


def _remarks(answer: Answer) -> list[object]:
    remarks = answer.body["remarks"]
    selected = answer.point.selected
    return [*(() if selected is None else selected.remarks), *(remarks if isinstance(remarks, list) else ())]


def _contour(frozen: FrozenRequest, answers: Answers) -> dict[str, object] | None:
    plane = answers.plane
    if plane is None:
        return None
    lines = [[line.tolist() for line in contour_lines(plane, curve)] for curve in range(6)]
    names = [frozen.analysis.axes[axis].name for axis in plane.axes]
    return {"axes": names, "observed": lines[0], "expected": lines[1:]}


def _consistency(answers: Answers) -> dict[str, object]:
    return {
        "compared": len(answers.compared), "agree": sum(entry.agrees for entry in answers.compared),
        "contradictions": contradictions(answers.compared),
        "numbers": [_compared(entry) for entry in answers.compared],
    }  # fmt: skip


def _compared(entry: Compared) -> dict[str, object]:
    stated = entry.published
    return {
        "kind": stated.kind, "point": stated.point, "channel": stated.channel, "bin": stated.bin,
        "at": list(stated.at), "published": stated.value, "found": entry.found, "ratio": entry.ratio,
        "tolerance": stated.tolerance, "agrees": entry.agrees, "source": stated.source,
    }  # fmt: skip
