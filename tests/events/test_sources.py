"""Public files: cache, search path, network; the sha256 decides."""

import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from evercast.errors import EnvironmentUnfit, IntegrityError, InvalidInput
from evercast.events.sources import SearchPath, available, fetch_source, file_name, search_path_from_environment
from evercast.spec.model import Source

CONTENT = b"run,event\n1,2\n" * 50
TLS = Path(__file__).parent / "tls"


def source(url: str = "https://127.0.0.1:1/data/events.csv", content: bytes = CONTENT, **changes) -> Source:
    fields = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content), "license": "CC0-1.0"}
    return Source(url=url, **(fields | changes))


@pytest.fixture
def search_path(tmp_path) -> SearchPath:
    data = tmp_path / "data"
    (data / "deep" / "er").mkdir(parents=True)
    return SearchPath(cache=tmp_path / "cache", folders=(data,), network=False)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        place = {"/to-http": "http://127.0.0.1:9/x", "/to-https": "/data/events.csv"}.get(self.path)
        if place:
            self.send_response(302)
            self.send_header("Location", place)
            self.end_headers()
        elif self.path == "/data/events.csv":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT)
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT * 100)
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:100])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch) -> Iterator[str]:
    """A server that speaks https on this machine."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def online(search_path: SearchPath) -> SearchPath:
    return SearchPath(cache=search_path.cache, folders=search_path.folders)


def test_of_several_files_of_one_name_the_one_with_the_right_content_is_taken(search_path):
    (search_path.folders[0] / "events.csv").write_bytes(b"another")
    right = search_path.folders[0] / "deep" / "er" / "events.csv"
    right.write_bytes(CONTENT)
    assert fetch_source(source(), search_path) == right
    assert available(source(), search_path)


def test_the_cache_comes_first_and_is_checked(search_path):
    cached = search_path.cache / "sha256" / source().sha256
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    assert fetch_source(source(), search_path) == cached
    cached.write_bytes(CONTENT.replace(b"1", b"3"))
    with pytest.raises(IntegrityError, match="remove this file") as caught:
        fetch_source(source(), search_path)
    assert caught.value.code == "source.checksum"
    assert not available(source(), search_path)
    assert sorted(entry.name for entry in cached.parent.iterdir()) == [f"{cached.name}.damaged"]


def damage_the_cache(search_path: SearchPath, wanted: Source) -> Path:
    cached = search_path.cache / "sha256" / wanted.sha256
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT.replace(b"1", b"3"))
    return cached


def test_a_damaged_file_in_the_cache_does_not_hide_the_right_one_in_a_folder(search_path, caplog):
    cached = damage_the_cache(search_path, source())
    right = search_path.folders[0] / "events.csv"
    right.write_bytes(CONTENT)
    assert available(source(), search_path)
    assert fetch_source(source(), search_path) == right
    assert f"put aside as {cached.name}.damaged" in caplog.text
    assert not cached.exists()


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, search_path):
    wanted = source(f"{server}/data/events.csv")
    cached = damage_the_cache(search_path, wanted)
    assert fetch_source(wanted, online(search_path)) == cached
    assert cached.read_bytes() == CONTENT
    assert cached.with_name(f"{cached.name}.damaged").is_file()
    assert available(wanted, search_path)


def test_a_wrong_checksum_names_file_found_and_expected(search_path):
    wrong = search_path.folders[0] / "events.csv"
    wrong.write_bytes(b"another")
    with pytest.raises(IntegrityError) as caught:
        fetch_source(source(), search_path)
    text = str(caught.value)
    assert str(wrong) in text
    assert hashlib.sha256(b"another").hexdigest() in text
    assert source().sha256 in text
    assert caught.value.exit_code == 5


def test_a_file_that_is_nowhere_says_what_to_do(search_path):
    assert not available(source(), search_path)
    with pytest.raises(EnvironmentUnfit, match=r"network is not allowed.*EVERCAST_DATA.*--pseudo-data") as caught:
        fetch_source(source(), search_path)
    assert caught.value.code == "source.unavailable"
    assert caught.value.exit_code == 6


def test_a_download_is_checked_and_kept(server, search_path):
    wanted = source(f"{server}/data/events.csv")
    path = fetch_source(wanted, online(search_path))
    assert path == search_path.cache / "sha256" / wanted.sha256
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == [wanted.sha256]
    assert fetch_source(wanted, search_path) == path


def test_a_redirect_to_https_is_followed_and_one_to_http_is_not(server, search_path):
    named = {"filename": "events.csv"}
    assert fetch_source(source(f"{server}/to-https", **named), online(search_path)).read_bytes() == CONTENT
    other = source(f"{server}/to-http", b"x", **named)
    with pytest.raises(EnvironmentUnfit, match="not https"):
        fetch_source(other, online(search_path))


@pytest.mark.parametrize(
    ("path", "content", "kind", "message"),
    [
        ("/missing.csv", CONTENT, EnvironmentUnfit, "404"),
        ("/data/events.csv", CONTENT.replace(b"1", b"3"), IntegrityError, "the file has sha256"),
        ("/endless", CONTENT, IntegrityError, "larger than the 700 bytes stated"),
        ("/short", CONTENT, EnvironmentUnfit, "ended 600 bytes too early"),
    ],
)
def test_a_bad_download_leaves_nothing_behind(server, search_path, path, content, kind, message):
    with pytest.raises(kind, match=message):
        fetch_source(source(server + path, content), online(search_path))
    assert list((search_path.cache / "sha256").iterdir()) == []


def test_a_server_nobody_vouches_for_is_not_trusted(server, search_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(EnvironmentUnfit, match="certificate verify failed"):
        fetch_source(source(f"{server}/data/events.csv"), online(search_path))


def test_only_https_is_spoken(search_path):
    for url in ("http://127.0.0.1/x.csv", "file:///etc/hostname", "ftp://127.0.0.1/x.csv"):
        with pytest.raises(InvalidInput, match="not https") as caught:
            fetch_source(source(url), online(search_path))
        assert caught.value.code == "source.url"


def test_the_name_of_a_file_comes_from_the_document_or_the_url():
    assert file_name(source("https://example.org/a/My%2Bfile.root?x=1")) == "My+file.root"
    assert file_name(source(filename="other.csv")) == "other.csv"
    for url in ("https://example.org/", "https://example.org/a%2F..%2Fb", "https://example.org/.hidden"):
        with pytest.raises(InvalidInput, match="not a safe file name"):
            file_name(source(url))


def test_the_environment_states_the_search_path(tmp_path):
    found = search_path_from_environment({"EVERCAST_DATA": "/a:/b", "HOME": "/home/x"})
    assert found == SearchPath(cache=Path("/home/x/.cache/evercast"), folders=(Path("/a"), Path("/b")))
    assert search_path_from_environment({"XDG_CACHE_HOME": "/c"}).cache == Path("/c/evercast")
    offline = search_path_from_environment({"EVERCAST_CACHE": "/d", "EVERCAST_OFFLINE": "1", "HOME": "/h"})
    assert offline == SearchPath(cache=Path("/d"), network=False)
    with pytest.raises(EnvironmentUnfit, match="EVERCAST_CACHE"):
        search_path_from_environment({})
