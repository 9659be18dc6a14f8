"""A person with a browser: a form is filled in, its request is run on a small analysis, its response is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import Browser
from served import Server

pytestmark = pytest.mark.browser

CATALOGUE = "location.search === '' && document.querySelector('.card') && document.readyState === 'complete'"


@pytest.mark.slow
def test_a_form_is_filled_in_a_request_is_run_and_its_response_is_read(
    server: Server, chromium_browser: Browser, tmp_path: Path
) -> None:
    page = chromium_browser.page(server.address)
    page.wait(CATALOGUE)
    page.follow(".card a")
    page.fill("Name of the request", "by-hand")
    page.follow("form[action='/requests'] button")
    assert page.tell("location.pathname") == "/requests/by-hand/form"

    page.fill("title", "Is <b>mine</b> excluded?")
    page.fill("published", "P_300_10")
    page.click("#f-signal-points > summary")
    page.follow("button[value='add:/signal/points']")
    point = "document.getElementById('f-signal-points-0')"
    page.fill("name", "mine", within=point)
    page.fill("values", "150, 30", within=point)
    page.click("#f-signal-points-0-cross_section > summary, #f-signal-points-0-cross-section > summary")
    page.fill("value", "many", within=point)
    page.fill("relative uncertainty", "0.1", within=point)
    page.click("#f-signal-points-0-yields > summary")
    page.follow("button[value='add:/signal/points/0/yields/channels']")
    channel = "document.getElementById('f-signal-points-0-yields-channels-0')"
    page.fill("name", "SR", within=channel)
    page.fill("events", "4 2 1", within=channel)
    page.follow("button[value=check]")

    wrong = "f-signal-points-0-cross-section-value-pb"
    assert page.tell(f"document.getElementById('{wrong}').getAttribute('aria-invalid')") == "true"
    assert page.tell(f"document.getElementById('{wrong}').value") == "many"
    assert "1 problem" in page.text()
    page.fill("value", "0.01", within=point)
    page.follow("button[value=submit]")

    assert page.tell("location.pathname") == "/requests/by-hand"
    page.wait("document.querySelector('#answer .sentence')")  # followed by the script, without a hand on it
    verdict = page.tell("document.querySelector('#answer .sentence').innerText")
    page.follow("#answer a.main")
    assert verdict in page.text()
    assert "Is <b>mine</b> excluded?" in page.text()
    run = page.tell("location.pathname").split("/")[4]
    body = json.loads((server.requests / "by-hand" / "responses" / run / "response.json").read_text())
    assert {point["name"]: point["origin"] for point in body["points"]} == {"P_300_10": "published", "mine": "yields"}
    assert body["verdict"] == verdict
    assert page.tell("window.origin") == "null"  # the response has no rights of the page that leads to it


def test_the_pages_work_without_a_script_and_with_the_keyboard(server: Server, chromium_browser: Browser) -> None:
    page = chromium_browser.page(server.address, script=False)
    page.wait(CATALOGUE)
    page.fill("Find", "boson")
    page.tell("window.stillThere = true")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    page.wait("window.stillThere === undefined && document.readyState === 'complete'")
    assert page.tell("location.search") == "?q=boson"
    page.follow(".card a")
    page.fill("Name of the request", "without-script")
    page.follow("form[action='/requests'] button")
    page.choose("limits", "false")
    page.follow("button[value=check]")
    assert "checked: it can be answered" in page.text()
    assert "limits: false" in (server.requests / "without-script" / "request.yaml").read_text()


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_its_window(server: Server, chromium_browser: Browser, width: int) -> None:
    page = chromium_browser.page(server.address, width=width)
    page.wait(CATALOGUE)
    places = ["/", page.tell("document.querySelector('.card a').getAttribute('href')"), "/requests"]
    client = server.client()
    request = server.draft(f"wide-{width}")
    client.edit(request, {}, do="add:/signal/points")
    for place in (*places, request, f"{request}/form", f"{request}/document"):
        page.go(f"http://127.0.0.1:{server.port}{place}")
        assert page.tell("document.documentElement.scrollWidth <= window.innerWidth"), place


def test_a_response_of_a_stranger_runs_no_script(server: Server, chromium_browser: Browser) -> None:
    place = server.draft("hostile")
    answer = server.requests / "hostile" / "responses" / "0123456789ab"
    answer.mkdir(parents=True)
    (answer / "response.json").write_text('{"verdict": "none", "files": {}}')
    attack = "<title>here</title><script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">"
    (answer / "response.html").write_text(f"<!DOCTYPE html>{attack}<a href='javascript:document.title=1'>on</a>")
    page = chromium_browser.page(server.address)
    page.wait(CATALOGUE)
    page.go(f"http://127.0.0.1:{server.port}{place}/responses/0123456789ab/response.html")
    page.click("a")
    assert page.tell("document.title") == "here"
    assert page.tell("window.origin") == "null"
