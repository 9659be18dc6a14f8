"""Chromium without a screen, told what to do through a pair of pipes: its own debugging protocol, no driver program."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PLACED = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
"""Puts the ends of the pipes where Chromium looks for them."""

__all__ = ["Browser", "Page", "chromium", "open_browser"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 240.0
"""How long anything may take before a test fails."""


def chromium() -> str | None:
    """Return the program; None where this machine has none."""
    return next((found for name in NAMES if (found := shutil.which(name)) is not None), None)


class Browser:
    """A running Chromium.

    Args:
        process: of it.
        reader, writer: ends of the pipes.
    """

    def __init__(self, process: subprocess.Popen[bytes], reader: int, writer: int) -> None:
        self.process, self._reader, self._writer = process, reader, writer
        self._number, self._left = 0, b""

    def call(self, method: str, session: str | None = None, **values: Any) -> dict[str, Any]:
        """Send a command and return its answer; what else is told meanwhile is dropped."""
        self._number += 1
        body: dict[str, Any] = {"id": self._number, "method": method, "params": values}
        if session is not None:
            body["sessionId"] = session
        os.write(self._writer, json.dumps(body).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            message = self._message(end)
            if message.get("id") == self._number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return dict(message["result"])
        raise AssertionError(f"{method}: no answer within {SECONDS:g} s")

    def _message(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            if not select.select([self._reader], [], [], max(0.0, end - time.monotonic()))[0]:
                raise AssertionError("the browser says nothing")
            chunk = os.read(self._reader, 1 << 20)
            if not chunk:
                raise AssertionError(f"the browser ended with {self.process.wait()}")
            self._left += chunk
        text, _, self._left = self._left.partition(b"\0")
        return dict(json.loads(text))

    def page(self, address: str, *, width: int = 1280, height: int = 900, script: bool = True) -> Page:
        """Open an address in a page of its own."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        page.call("Page.enable")
        page.resize(width, height)
        page.dark(dark=False)
        page.call("Emulation.setScriptExecutionDisabled", value=not script)
        page.go(address)
        return page


class Page:
    """A page of the browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Send a command to this page."""
        return self._browser.call(method, self._session, **values)

    def resize(self, width: int, height: int) -> None:
        """Show the page in a window of this size."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700
        )

    def dark(self, *, dark: bool) -> None:
        """Prefer dark or light colours."""
        self._prefer("dark" if dark else "light")

    def _prefer(self, colours: str) -> None:
        wanted = {"prefers-color-scheme": colours, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wanted.items()]
        self.call("Emulation.setEmulatedMedia", features=features)

    def go(self, address: str) -> None:
        """Open an address and wait until it is there."""
        assert "errorText" not in self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def tell(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression holds; a page that is just replaced is asked again."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            answer = self.call("Runtime.evaluate", expression=f"!!({expression})", returnByValue=True)
            if answer["result"].get("value"):
                return
            time.sleep(0.05)
        raise AssertionError(f"never held: {expression}; the page says: {self.text()[:2000]}")

    def text(self) -> str:
        """Return what a person reads."""
        return str(self.tell("document.body.innerText"))

    def has(self, selector: str) -> bool:
        """Return whether there is such an element."""
        return bool(self.tell(f"document.querySelector({json.dumps(selector)}) !== null"))

    def click(self, selector: str) -> None:
        """Click in the middle of an element with the mouse, as a person does."""
        middle = (
            f"(() => {{ const it = document.querySelector({json.dumps(selector)}); if (!it) return null;"
            "it.scrollIntoView({block: 'center', behavior: 'instant'}); const box = it.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        where, before = self.tell(middle), None
        while where != before:  # the page still scrolls to where its address leads, or styles come late
            time.sleep(0.05)
            where, before = self.tell(middle), where
        assert where, f"there is no {selector}: {self.text()[:2000]}"
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    def follow(self, selector: str) -> None:
        """Click on what leads to another page, and wait until that one is there."""
        self.tell("window.stillThere = true")
        self.click(selector)
        self.wait("window.stillThere === undefined && document.readyState === 'complete'")

    def fill(self, label: str, text: str, *, within: str = "document") -> None:
        """Type into the field of a label, whatever it held before."""
        self._focus(label, within)
        self.call("Input.insertText", text=text)

    def choose(self, label: str, value: str, *, within: str = "document") -> None:
        """Choose an option of a field by its value."""
        self._focus(label, within)
        self.tell(f"document.activeElement.value = {json.dumps(value)}")
        assert self.tell("document.activeElement.value") == value

    def _focus(self, label: str, within: str) -> None:
        """Give the field of a label the focus; a label that belongs to no field has none."""
        found = self.tell(
            f"(() => {{ const it = [...{within}.querySelectorAll('label')].find((one) => one.innerText.split('\\n')[0]"
            f".replace(/ (\\[.*\\]|needed)/g, '').trim() === {json.dumps(label)}); if (!it || !it.control) return null;"
            "it.control.scrollIntoView({block: 'center', behavior: 'instant'}); it.control.focus();"
            "if (it.control.select) it.control.select(); return document.activeElement === it.control; })()"
        )
        assert found, f"no field with the label {label}: {self.text()[:2000]}"

    def press(self, key: str, code: int) -> None:
        """Press a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def attach(self, selector: str, *files: Path) -> None:
        """Put files into a field, as the dialog of the browser does."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write a picture of the page."""
        values: dict[str, Any] = {"format": "png"}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
            values |= {"captureBeyondViewport": True, "clip": clip}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **values)["data"]))


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium with an empty profile, and end it with its block."""
    program = chromium()
    assert program is not None, "there is no Chromium"
    to_child, writer = os.pipe()
    reader, from_child = os.pipe()
    high = [
        fcntl.fcntl(end, fcntl.F_DUPFD, 50) for end in (to_child, from_child)
    ]  # no standard stream, neither 3 nor 4
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            sys.executable, "-I", "-S", "-c", _PLACED, *map(str, high), program, "--headless", "--no-sandbox",
            "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run",
            "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-extensions",
            "--disable-component-update", "--disable-sync", "--no-default-browser-check", "--hide-scrollbars",
            "--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=127.0.0.1", "about:blank",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=high
        )
        for end in (to_child, from_child, *high):
            os.close(end)
        browser = Browser(process, reader, writer)
        try:
            browser.call("Browser.getVersion")
            yield browser
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(reader)
            os.close(writer)
