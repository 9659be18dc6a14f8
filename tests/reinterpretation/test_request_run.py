"""A request from its draft to its answer, with a real workflow: only what is missing is computed."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pyhf
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jsonschema import Draft202012Validator

from evercast.artifacts.signatures import read_private_key
from evercast.cli import main
from evercast.inference.asymptotics import cls
from evercast.inference.limits import upper_limit
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import apply_patch, read_workspace
from evercast.reinterpretation.requests.engine import run_batch
from evercast.reinterpretation.requests.frozen import read_frozen
from evercast.reinterpretation.requests.states import add_state, read_history
from evercast.schemas import load_schema, registry
from small_record import POINTS, background, patch

HOSTILE = "'<script>alert(1)</script> =cmd|calc'"
OWN = """\
  points:
    mine:
      values: [150.0, 30.0]
      cross_section: {value_pb: 0.01, relative_uncertainty: 0.1}
      yields: {channels: {SR: {events: [4.0, 2.0, 1.0], uncertainty: [0.2, 0.1, 0.1]}}, systematic: 0.1}
    nothing:
      cross_section: {value_pb: 0.01, relative_uncertainty: 0.1}
      yields: {channels: {SR: {events: [0.0, 0.0, 0.0]}}, generated_events: 10000}
"""


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out)


def run(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["request", "run", str(folder), "--cores", "1", "--json", *words]) == 0
    return told(capsys)


def points_of(response: Path) -> dict[str, dict[str, object]]:
    return {point["name"]: point for point in json.loads((response / "response.json").read_text())["points"]}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:pyhf")
@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")
def test_from_a_draft_to_an_answer_and_on(draft: Path, wrapped: Path, capsys) -> None:
    document = draft / "request.yaml"
    text = document.read_text()
    document.write_text(text.replace("published: all", "published: [P_100_10, P_200_10, P_300_10]"))
    first = run(draft, capsys)
    assert first["computed"] == 3
    assert first["counts"] == {"points": 3, "excluded": 2, "not_excluded": 1, "no_events": 0, "failed": 0}
    results = {path.name: path.read_bytes() for path in (draft / "points").iterdir()}

    again = run(draft, capsys)  # the same request: the same run and the same response, no job
    assert (again["run"], again["response"], again["computed"]) == (first["run"], first["response"], 0)
    assert [state.state for state in read_history(draft)] == ["draft", "submitted", "accepted", "running", "answered"]

    grown = text.replace("published: all", f"published: all\n{OWN}").replace(
        "# title: what", f"title: {HOSTILE} # what"
    )
    document.write_text(grown)
    second = run(draft, capsys)
    assert second["run"] != first["run"]
    assert second["computed"] == 5  # three more of the record, two of the requester
    for name, content in results.items():
        assert (draft / "points" / name).read_bytes() == content
    response = Path(str(second["response"]))
    assert Path(str(first["response"])).is_dir()  # the earlier answer stays

    body = json.loads((response / "response.json").read_text())
    Draft202012Validator(load_schema("response"), registry=registry()).validate(body)
    for name, digest in body["files"].items():
        assert hashlib.sha256((response / name).read_bytes()).hexdigest() == digest
    assert body["reused"]["results"] == ["P_100_10", "P_200_10", "P_300_10"]
    assert set(body["reused"]["files"]) == {"BkgOnly.json", *(f"patch.{name}.json" for name in POINTS)}
    check_numbers(points_of(response))
    check_patchset(response)
    check_page((response / "response.html").read_text())
    assert main(["request", "status", str(draft), "--json"]) == 0
    assert told(capsys)["done"] == 8


def check_numbers(points: dict[str, dict[str, object]]) -> None:
    for name, events in POINTS.items():
        likelihood = Likelihood(read_workspace(apply_patch(background(), patch(events))))
        expected, limit = cls(likelihood, 1.0), upper_limit(likelihood)
        found = points[name]
        assert found["cls"]["observed"] == pytest.approx(expected.cls_obs, abs=1e-9)
        assert found["cls"]["expected"] == pytest.approx(list(expected.cls_exp), abs=1e-9)
        assert found["limit"]["observed"] == pytest.approx(limit.observed, rel=1e-6)  # of the root finding
        assert found["excluded"] == (expected.cls_obs < 0.05)
        assert found["guard"]["passed"]
        assert found["events"] == {"SR": [events, 0.5 * events, 0.0]}
    mine, nothing = points["mine"], points["nothing"]
    assert mine["efficiency"] == pytest.approx(7.0 / 1000.0)  # 7 events of 10 fb at 100/fb
    assert mine["limit_pb"] == pytest.approx(0.01 * mine["limit"]["observed"])
    assert (nothing["status"], nothing["cls"], nothing["excluded"]) == ("no-events", None, None)
    assert nothing["efficiency_limit"] == pytest.approx(1 - 0.05 ** (1 / 10000))


def check_patchset(response: Path) -> None:
    """pyhf accepts the patchset, and finds the background it belongs to and the same likelihood."""
    opened = pyhf.PatchSet(json.loads((response / "patchset.json").read_text()))
    workspace = pyhf.Workspace(json.loads((response / "background.json").read_text()))
    opened.verify(workspace)
    assert len(opened) == 8
    model = opened.apply(workspace, "mine").model()
    assert "signal_systematic" in model.config.par_order
    value, expected = pyhf.infer.hypotest(
        1.0, [*workspace.data(model, include_auxdata=False), *model.config.auxdata], model, return_expected=True
    )
    found = points_of(response)["mine"]["cls"]
    assert found["observed"] == pytest.approx(float(value), abs=1e-4)  # its optimiser stops at 1e-4 or so
    assert found["expected"][2] == pytest.approx(float(expected), abs=1e-4)


def check_page(html: str) -> None:
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; =cmd|calc" in html
    assert not re.search(r"(src|href)=[\"'](?!#|https://doi\.org/|https://arxiv\.org/|data:)", html)
    sentence = re.search(r'<p class="sentence">(.*?)</p>', html)
    assert sentence
    assert "of 8 signal points are excluded at 95 % confidence level (1 without an expected event)" in sentence.group(1)
    assert 'id="contour"' in html


def test_what_was_submitted_is_answered_whatever_is_edited_then(draft: Path, capsys) -> None:
    document = draft / "request.yaml"
    document.write_text(document.read_text().replace("published: all", "published: [P_300_50]"))
    assert main(["request", "submit", str(draft), "--json"]) == 0
    frozen = read_frozen(draft, str(told(capsys)["run"]))
    document.write_text("not a request at all")
    (frozen.folder / "batches").mkdir()
    (frozen.folder / "batches" / "0123456789abcdef.json").write_text(json.dumps({"keys": [frozen.points[0].key]}))
    run_batch(frozen.folder, "0123456789abcdef")  # the job, without the workflow around it
    assert main(["respond", str(draft), "--json"]) == 0
    answer = told(capsys)
    assert answer["counts"]["points"] == 1
    assert str(answer["verdict"]).startswith("P_300_50 is not excluded at 95 % confidence level: CLs = ")
    page = (Path(str(answer["response"])) / "response.html").read_text()
    assert 'id="limits"' in page


def test_results_that_somebody_brought_are_computed_again_where_that_is_asked(draft: Path, capsys) -> None:
    document = draft / "request.yaml"
    document.write_text(document.read_text().replace("published: all", "published: [P_300_50]"))
    assert main(["request", "submit", str(draft), "--json"]) == 0
    frozen = read_frozen(draft, str(told(capsys)["run"]))
    brought = frozen.result(frozen.points[0].key)
    brought.parent.mkdir()
    wrong = {"mu": 1.0, "observed": 1e-6, "expected": [1e-6] * 5, "mu_hat": 0.0}
    body = {"schema": "point/1.0.0", "key": frozen.points[0].key, "status": "ok", "cls": wrong, "limit": None}
    brought.write_text(json.dumps(body | {"guard": None, "remarks": [], "failure": None, "seconds": 1.0}))
    (draft / "work" / "read").mkdir(parents=True)
    (draft / "work" / "inputs").mkdir()
    assert main(["respond", str(draft), "--fresh", "--json"]) == 0
    answer = told(capsys)
    assert answer["computed"] == 1
    assert str(answer["verdict"]).startswith("P_300_50 is not excluded at 95 % confidence level: CLs = ")
    assert [place.name for place in (draft / "work").iterdir()] == ["inputs"]


def test_copies_that_were_changed_are_not_answered(draft: Path, capsys) -> None:
    assert main(["request", "submit", str(draft), "--json"]) == 0
    frozen = read_frozen(draft, str(told(capsys)["run"]))
    listed = frozen.folder / "points.json"
    listed.write_text(listed.read_text().replace("P_300_50", "P_300_51"))
    assert main(["respond", str(draft), "--json"]) == 5
    assert told(capsys)["error"]["code"] == "request.frozen"
    last = read_history(draft)[-1]
    assert (last.state, last.code) == ("refused", "request.frozen")


def test_a_point_without_a_minimum_has_a_reason_and_no_number(draft: Path, capsys) -> None:
    """A signal that nothing can tell from nothing: CLs stays open, which is said instead of a number."""
    tiny = OWN.replace("events: [4.0, 2.0, 1.0], uncertainty: [0.2, 0.1, 0.1]", "events: [1.0e-9, 0.0, 0.0]")
    document = draft / "request.yaml"
    document.write_text(document.read_text().replace("published: all", tiny.strip("\n").lstrip()))
    assert main(["request", "submit", str(draft), "--json"]) == 0
    frozen = read_frozen(draft, str(told(capsys)["run"]))
    (frozen.folder / "batches").mkdir()
    (frozen.folder / "batches" / "0123456789abcdef.json").write_text(
        json.dumps({"keys": [point.key for point in frozen.points]})
    )
    run_batch(frozen.folder, "0123456789abcdef")
    assert main(["respond", str(draft), "--json"]) == 7
    answer = told(capsys)
    assert answer["counts"]["failed"] == 1
    failed = points_of(Path(str(answer["response"])))["mine"]
    assert failed["cls"] is None
    assert failed["failure"]["code"] == "cls.no-sensitivity"


def test_states_are_signed_where_a_key_is_given(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes(*plain))
    key.chmod(0o600)
    assert read_private_key(key)
    add_state(tmp_path / "ask", "draft", key=key)
    add_state(tmp_path / "ask", "submitted", run="0" * 64)
    first, second = read_history(tmp_path / "ask")
    assert (first.signer or "").startswith("SHA256:")
    assert second.signer is None
