"""Who may ask the page, and what nobody may: other hosts, other sites, other users, other files."""

from __future__ import annotations

import http.client
import re
import secrets
import socket
from pathlib import Path

import pytest
from client import Client
from served import Server

from evercast.cli import main
from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput
from evercast.serve.places import open_below
from evercast.serve.security import Gate


def test_nobody_gets_in_without_the_printed_address(server: Server) -> None:
    stranger = Client(server.port)
    for place in ("/", "/requests", "/static/serve.js", "/?token=", "/?token=guessed", "/requests?token=guessed"):
        answer = stranger.get(place)
        assert answer.status == 403
        assert "evercast serve printed" in answer.text
    opened = stranger.get(server.address.partition(f":{server.port}")[2])
    cookie = opened.headers["Set-Cookie"]
    assert opened.status == 200
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert server.address.rpartition("=")[2] not in cookie
    stranger.cookie = cookie.split(";")[0][:-1] + "0"
    assert stranger.get("/").status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1:80@evil.example", "10.0.0.1", ""]
)
def test_an_address_that_was_rebound_is_refused(client: Client, host: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
    connection.putrequest("GET", "/", skip_host=True)
    connection.putheader("Host", host)
    connection.putheader("Cookie", client.cookie)
    connection.endheaders()
    assert connection.getresponse().status == 421
    connection.close()


def test_a_tunnel_has_another_port(client: Client) -> None:
    assert client.get("/", Host="localhost:9999").status == 200
    sent = {"analysis": "none", "name": "x"}
    assert client.post("/requests", sent, Host="localhost:9999", Origin="http://localhost:9999").status == 400
    assert client.post("/requests", sent, Host="localhost:9999", Origin="http://localhost:8888").status == 400
    assert "another site" in client.post("/requests", sent, Origin="http://localhost:8888").text


def test_another_site_cannot_send_a_form(client: Client, server: Server) -> None:
    sent = {"analysis": client.first_analysis(), "name": "foreign"}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        answer = client.post("/requests", sent, **headers)
        assert answer.status in {400, 403}
        assert "another site" in answer.text
    for token in ("", "0" * 64, "é"):
        answer = client.post("/requests", {**sent, "token": token})
        assert answer.status == 403
        assert "serve.token" in answer.text
    assert not (server.requests / "foreign").exists()


def test_the_body_of_a_stranger_is_not_read(server: Server) -> None:
    """Nothing of a large body was sent when the answer comes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        head = f"POST /requests HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 900000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline(client: Client, server: Server) -> None:
    place = server.draft("still")
    for page in ("/", "/requests", place, f"{place}/form", f"{place}/document", "/nothing"):
        answer = client.get(page)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Server" not in answer.headers
        assert not re.search(r"<style|style=|onclick|<script(?! src=\"/static/serve.js\" defer></script>)", answer.text)
        assert not re.search(r"(src|href|action)=\"(?!/|#|data:)", answer.text)


@pytest.mark.parametrize(
    "place",
    [
        "/static/..%2f..%2f__init__.py",
        "/static/../__init__.py",
        "/requests/..",
        "/requests/..%2fconfig/form",
        "/requests/.hidden/form",
        "/requests/nothing/form",
        "/requests/walker/responses/..%2f..%2f/request.yaml",
        "/requests/walker/responses/000000000000/../../request.yaml",
        "/requests/walker/responses/000000000000/%2e%2e/%2e%2e/request.yaml",
        "/analyses/0123456789abcdef",
        "/analyses/0123456789abcdef/report/0",
        "//evil.example/",
    ],
)
def test_no_path_leads_outside(client: Client, server: Server, place: str) -> None:
    if not (server.requests / "walker").exists():
        server.draft("walker")
    answer = client.get(place)
    assert answer.status in {400, 403, 404}
    assert "request/1.0.0" not in answer.text
    assert "catalogue/1.0.0" not in answer.text


def test_links_are_not_followed(client: Client, server: Server, tmp_path: Path) -> None:
    place = server.draft("linked")
    folder = server.requests / "linked"
    (server.requests / "elsewhere").symlink_to(folder)
    assert client.get("/requests/elsewhere").status == 400
    assert "elsewhere" not in client.get("/requests").text
    answer = folder / "responses" / "0123456789ab"
    answer.mkdir(parents=True)
    (answer / "response.json").write_text('{"verdict": "none", "files": {"secret.txt": "", "../../request.yaml": ""}}')
    (tmp_path / "secret").write_text("what nobody may read")
    (answer / "secret.txt").symlink_to(tmp_path / "secret")
    for name in ("secret.txt", "../../request.yaml", "..%2f..%2frequest.yaml"):
        assert "nobody may read" not in (found := client.get(f"{place}/responses/0123456789ab/{name}")).text
        assert found.status in {400, 404}
    (folder / "request.yaml").rename(folder / "kept.yaml")
    (folder / "request.yaml").symlink_to("kept.yaml")
    assert "serve.file-link" in client.get(f"{place}/form").text


def test_a_folder_of_uploads_that_is_a_link_takes_nothing(client: Client, server: Server, tmp_path: Path) -> None:
    place = server.draft("diverted")
    (server.requests / "diverted" / "files").symlink_to(tmp_path)
    answer = client.send(place, client.form(place), do="upload", files={"a.json": b"[]"})
    assert "serve.file-link" in answer.text
    assert list(tmp_path.iterdir()) == []


def test_documents_of_others_are_shown_without_rights(client: Client, server: Server) -> None:
    place = server.draft("shown")
    answer = server.requests / "shown" / "responses" / "0123456789ab"
    answer.mkdir(parents=True)
    (answer / "response.json").write_text('{"verdict": "<script>alert(1)</script> excluded", "files": {}}')
    (answer / "response.html").write_text("<script>alert(1)</script>")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; excluded" in client.get(place).text
    page = client.get(f"{place}/responses/0123456789ab/response.html")
    assert page.headers["Content-Security-Policy"].startswith("sandbox ")
    assert "allow-scripts" not in page.headers["Content-Security-Policy"]
    assert "allow-same-origin" not in page.headers["Content-Security-Policy"]
    kept = client.get(f"{place}/responses/0123456789ab/response.json")
    assert kept.headers["Content-Disposition"].startswith("attachment")


def test_a_port_that_is_taken_is_named(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["serve", "--port", str(server.port), "--folder", str(tmp_path / "requests")])
    assert code == EnvironmentUnfit.exit_code
    assert "error[serve.port]" in (text := capsys.readouterr().err)
    assert "leave --port out" in text


def test_parts_of_a_path_are_names(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_text("content")
    (tmp_path / "link").symlink_to("inner")
    with open_below(tmp_path, ("inner", "file")) as stream:
        assert stream.read() == b"content"
    with pytest.raises(IntegrityError):
        open_below(tmp_path, ("link", "file"))
    for parts in ((), ("..",), ("inner", "..", "inner", "file"), ("inner/file",), ("inner",), ("inner", "none"), ("",)):
        with pytest.raises(InvalidInput):
            open_below(tmp_path, parts)


def test_keys_of_two_servers_differ() -> None:
    first, second = (Gate(token=secrets.token_hex(8), port=1) for _ in range(2))
    assert first.session_problem(f"{first.cookie}={second.session}")
    assert first.session_problem(f"{first.cookie}={first.session}") is None
    assert not first.accepts_form(second.form_token)
    assert first.session != first.form_token
