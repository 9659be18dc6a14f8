"""Requests over HTTP: drafts, forms, problems beside their fields, uploads, runs, answers."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from client import Client, FormReader
from served import LIMIT_MB, Server, start

from evercast.schemas import load_schema
from small_record import patch


def document(server: Server, name: str) -> dict[str, object]:
    return yaml.safe_load((server.requests / name / "request.yaml").read_text())


def wait(condition: Callable[[], bool], *, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def status(client: Client, place: str) -> dict[str, object]:
    return json.loads(client.get(f"{place}/status").text)


def test_the_catalogue_is_browsed_and_searched(client: Client) -> None:
    assert "small-search" in client.get("/").text
    assert "small-search" in client.get("/?q=quarks+boson").text
    assert "None of the 1 analyses" in client.get("/?q=leptons").text
    page = client.get(f"/analyses/{client.first_analysis()}").text
    assert "two quarks and a boson" in page
    assert "Ask this analysis" in page
    assert "SR (3), CR (2)" in page
    assert "P_300_50" in page


def test_a_draft_is_that_of_the_command_and_its_form_has_every_key(client: Client, server: Server) -> None:
    place = client.new("draft")
    answer = client.edit(place, {}, do="add:/signal/points")
    assert answer.place == f"{place}/form#f-signal-points"
    read = FormReader(client.get(f"{place}/form").text)
    for key in load_schema("request")["properties"]:
        assert any(name == f"/{key}" or name.startswith(f"/{key}/") for name in read.values), key
    for key in load_schema("request")["$defs"]["cross_section"]["properties"]:
        assert f"/signal/points/0/cross_section/{key}" in read.values
    assert f'href="/analyses/{client.first_analysis()}"' in client.get(f"{place}/form").text
    unlabelled = {name for name, identity in read.ids.items() if identity not in read.labelled}
    assert unlabelled == set()
    assert document(server, "draft")["signal"] == {"published": "all", "points": {"point1": {}}}
    assert [state.name for state in (server.requests / "draft" / "history").iterdir()] == ["0001-draft.json"]
    client.edit(place, {}, do="remove:/signal/points/0")
    assert document(server, "draft")["signal"] == {"published": "all"}


def test_all_problems_stand_beside_their_fields_and_what_was_typed_stays(client: Client, server: Server) -> None:
    place = server.draft("wrong")
    client.edit(place, {}, do="add:/signal/points")
    changes = {
        "/wanted/mu": "-1", "/wanted/confidence_level": "ninety", "/signal/points/0#": "1.5_x",
        "/signal/points/0/cross_section/value_pb": "0.01", "/signal/published": "P_100_10\nP_100_10\n",
    }  # fmt: skip
    answer = client.edit(place, changes, do="check")
    page = client.get(answer.place.partition("#")[0]).text
    read = FormReader(page)
    assert read.values["/wanted/confidence_level"] == "ninety"
    assert document(server, "wrong")["wanted"]["confidence_level"] == "ninety"
    for identity in ("f-wanted-mu", "f-wanted-confidence-level", "f-signal-points-0-cross-section"):
        assert f'id="{identity}-trouble-1"' in page, identity
    fixed = {"/wanted/mu": "1", "/wanted/confidence_level": "0.9"}
    fixed["/signal/points/0/cross_section/relative_uncertainty"] = "0"
    client.edit(place, fixed, do="check")
    page = client.get(f"{place}/form").text
    assert 'id="f-signal-points-0-trouble-1"' in page  # neither patch nor events, found by the checks of requests
    assert 'id="f-signal-published-trouble-1"' in page  # a point that stands twice
    client.edit(place, {"/signal/published": "P_100_11"}, do="remove:/signal/points/0")
    client.edit(place, {}, do="check")
    page = client.get(f"{place}/form").text
    assert "the record has no signal point" in page  # found against the analysis
    assert "P_100_10" in page  # with a proposal
    client.edit(place, {"/signal/published": "P_100_10"}, do="check")
    assert "checked: it can be answered" in client.get(f"{place}/form").text


def test_uploads_are_bounded_renamed_and_known_by_content(client: Client, server: Server) -> None:
    place = server.draft("files")
    folder = server.requests / "files" / "files"
    content = json.dumps(patch(3.0)).encode()
    before = client.form(place)
    answer = client.send(place, before, do="upload", files={"../../évil name;.json": content, "folder/.b.slha": b"1"})
    assert answer.status == 303
    assert sorted(path.name for path in folder.iterdir()) == ["b.slha", "evil_name_.json"]
    assert (folder / "evil_name_.json").stat().st_mode & 0o777 == 0o600
    again = client.send(place, client.form(place), do="upload", files={"évil name;.json": content})
    assert again.status == 303
    other = client.send(place, client.form(place), do="upload", files={"b.slha": b"2"})
    assert "serve.file-exists" in other.text
    empty = client.send(place, client.form(place), do="upload", files={"none.lhe": b""})
    assert "serve.empty-file" in empty.text
    large = client.send(place, client.form(place), do="upload", files={"large": b"0" * (LIMIT_MB * 1_000_000 + 1)})
    assert "serve.too-large" in large.text
    assert sorted(path.name for path in folder.iterdir()) == ["b.slha", "evil_name_.json"]

    client.edit(place, {}, do="add:/signal/points")
    point = "/signal/points/0/patch"
    background = yaml.safe_load((server.home / "preserved" / "small-search" / "wrapped.yaml").read_text())
    digest = background["likelihoods"]["main"]["background"]["sha256"]
    changes = {f"{point}/path": "files/evil_name_.json", f"{point}/background": digest}
    client.edit(place, {**changes, "/signal/published": ""}, do="check")
    assert "checked: it can be answered" in client.get(f"{place}/form").text
    stated = document(server, "files")["signal"]["points"]["point1"]["patch"]
    assert (stated["sha256"], stated["size_bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    client.edit(place, {f"{point}/sha256": "0" * 64}, do="check")  # what the requester states is compared, not replaced
    assert "the request states" in client.get(f"{place}/form").text
    client.edit(place, {}, do="remove-file:files/b.slha")
    assert [path.name for path in folder.iterdir()] == ["evil_name_.json"]
    for path in ("request.yaml", "files/../request.yaml", "files/.serve"):
        assert client.edit(place, {}, do=f"remove-file:{path}").status == 400


def test_a_body_beyond_all_bounds_is_not_taken(client: Client, server: Server) -> None:
    place = server.draft("bounds")
    answer = client.ask("POST", f"{place}/form", None, Content_Length=str(10**12))
    assert answer.status == 413


def test_a_document_that_was_changed_meanwhile_is_not_overwritten(client: Client, server: Server) -> None:
    place = server.draft("changed")
    old = client.form(place)
    client.edit(place, {"/title": "newer"}, do="save")
    assert "serve.changed" in client.send(place, {**old, "/title": "older"}, do="save").text
    assert document(server, "changed")["title"] == "newer"
    text = FormReader(client.get(f"{place}/document").text).values
    assert client.post(f"{place}/document", {**text, "text": "a: [1, 2"}).status == 303
    page = client.get(f"{place}/form")
    assert page.place == f"{place}/document"  # no form can hold it: it is edited as text
    assert "a: [1, 2" in client.get(f"{place}/document").text


@pytest.mark.slow
def test_requests_run_beside_each_other_and_each_one_once(client: Client, server: Server) -> None:
    places = [server.draft("first"), server.draft("second")]
    for place in places:
        client.edit(place, {"/signal/published": "P_300_50"}, do="save")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda place: client.post(f"{place}/run", {}), places * 3))
    assert {answer.status for answer in answers} == {303}
    assert all(status(client, place)["active"] for place in places)
    assert "in work" in client.get(places[0]).text + client.get(places[1]).text
    wait(lambda: not any(status(client, place)["active"] for place in places))
    for name, place in zip(("first", "second"), places, strict=True):
        states = sorted(path.name[5:-5] for path in (server.requests / name / "history").iterdir())
        assert states == ["accepted", "answered", "draft", "running", "submitted"]
        page = client.get(place).text
        assert "P_300_50 is not excluded at 95 % confidence level" in page
        assert "1 of 1" in page
        run = next((server.requests / name / "responses").iterdir()).name
        assert "P_300_50" in client.get(f"{place}/responses/{run}/response.html").text


def test_a_refused_request_says_why(client: Client, server: Server) -> None:
    place = server.draft("refused")
    client.edit(place, {"/analysis/digest": "0" * 64}, do="submit")
    wait(lambda: not status(client, place)["active"])
    page = client.get(place).text
    assert "It was not answered" in page
    assert "names another one" in page
    states = [path.name for path in (server.requests / "refused" / "history").iterdir()]
    assert states == ["0001-draft.json"]  # nothing was submitted


@pytest.mark.slow
def test_a_run_survives_a_server_that_was_killed_and_ends_with_one_that_is_stopped(home: Path) -> None:
    server = start(home)
    client = server.client()
    place = server.draft("outlives")
    client.post(f"{place}/run", {})
    record = server.requests / "outlives" / ".serve" / "run.json"
    wait(lambda: json.loads(record.read_text())["pid"] is not None)
    pid = json.loads(record.read_text())["pid"]
    server.stop(signal.SIGKILL)
    os.kill(pid, 0)  # it works on

    second = start(home)
    client = second.client()
    wait(
        lambda: "Another process works on it" in client.get(place).text or status(client, place)["state"] == "answered"
    )
    wait(lambda: status(client, place)["state"] == "answered")
    other = second.draft("ends")
    client.post(f"{other}/run", {})
    record = second.requests / "ends" / ".serve" / "run.json"
    wait(lambda: json.loads(record.read_text())["pid"] is not None)
    pid = json.loads(record.read_text())["pid"]
    client.post(f"{other}/cancel", {})
    wait(lambda: not status(client, other)["active"])
    assert json.loads(record.read_text())["cancelled"]
    assert "stopped on request" in client.get(other).text
    client.post(f"{other}/run", {})
    wait(lambda: json.loads(record.read_text())["pid"] not in {None, pid})
    pid = json.loads(record.read_text())["pid"]
    assert second.stop(signal.SIGTERM) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
