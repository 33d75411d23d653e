"""Headless Chromium, told what to do over a pipe (Chrome DevTools protocol, ``--remote-debugging-pipe``)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

import psutil

from testkit.leaks import SERVING
from testkit.loops import need_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Browser", "Page", "pixels", "start_browser"]

_SECONDS = 60

#: Chromium reads orders from descriptor 3 and writes answers to 4; these may be any here.
_LAUNCH = """
import fcntl, os, sys
spare = [fcntl.fcntl(int(word), fcntl.F_DUPFD_CLOEXEC, 10) for word in sys.argv[1:3]]
for word in sys.argv[1:3]: os.close(int(word))
os.dup2(spare[0], 3); os.dup2(spare[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """A browser without windows."""

    def __init__(self, process: subprocess.Popen[bytes], give: int, take: int, place: str, short: str) -> None:
        self._process = process
        self._place = place
        self._short = short
        SERVING.add(process.pid)
        self._give = give
        self._take = take
        self._number = 0
        self._changed = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self._over = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        rest = b""
        while data := os.read(self._take, 1 << 20):
            *messages, rest = (rest + data).split(b"\0")
            with self._changed:
                for message in map(json.loads, messages):
                    if "id" in message:
                        self._answers[message["id"]] = message
                    else:
                        self.events.append(message)
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return what it answers."""
        with self._changed:
            self._number += 1
            number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._give, data) :]
        with self._changed:
            self._changed.wait_for(lambda: self._over or number in self._answers, _SECONDS)
            answer = self._answers.pop(number, None)
        assert answer is not None, f"Chromium does not answer {method}"
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    @contextlib.contextmanager
    def page(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Page]:
        """Open a page and wait until it says that it is ready; close it at the end."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Page.navigate", url=url)
        try:
            page.wait("document.documentElement?.dataset.ready")
            yield page
        finally:
            self.call("Target.closeTarget", targetId=target)

    def close(self) -> None:
        """End it, and all that it started."""
        with contextlib.suppress(OSError, AssertionError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._give)
        self._reader.join(_SECONDS)
        os.close(self._take)
        # Those that it started end when they see that it is gone.
        end = time.monotonic() + 10
        while time.monotonic() < end and any(self._place in " ".join(words) for words in _commands()):
            time.sleep(0.02)
        SERVING.discard(self._process.pid)
        shutil.rmtree(self._short)


def _commands() -> Iterator[list[str]]:
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            yield child.cmdline()


class Page:
    """A page in it."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol for this page."""
        return self._browser.call(method, self._session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value."""
        end = time.monotonic() + _SECONDS
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)
        return value

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element that fits."""
        found: list[str] = self.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.innerText)"
        )
        return found

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Return left, top, width and height of an element, which is scrolled to be seen."""
        script = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null; "
            "e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect(); "
            "return [r.left, r.top, r.width, r.height]; })()"
        )
        found = self.evaluate(script)
        assert found is not None, f"there is no {selector}"
        left, top, width, height = found
        return left, top, width, height

    def click(self, selector: str) -> None:
        """Click into the middle of an element, as a mouse does."""
        left, top, width, height = self.box(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=left + width / 2,
                y=top + height / 2,
                button="left",
                clickCount=1,
            )

    def press(self, key: str) -> None:
        """Press a key, such as ``ArrowDown``, or type a character."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self, **clip: float) -> bytes:
        """Return a PNG of what is to be seen.

        :param clip: ``x``, ``y``, ``width`` and ``height`` of a part, and ``scale``.
        """
        options: dict[str, Any] = {"clip": {"scale": 1, **clip}} if clip else {}
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", **options)["data"])

    def events(self, *methods: str) -> list[dict[str, Any]]:
        """Return the parameters of the events of this page that have one of these names."""
        return [
            event["params"]
            for event in list(self._browser.events)
            if event.get("sessionId") == self._session and event["method"] in methods
        ]


def pixels(png: bytes) -> list[list[tuple[int, int, int]]]:
    """Return the rows of a PNG as red, green and blue (PNG specification, third edition; 8 bits, not interlaced)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, width, height, channels = 8, b"", 0, 0, 0
    while at < len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", body)
            assert (depth, interlaced) == (8, 0)
            channels = {2: 3, 6: 4}[color]
        elif kind == b"IDAT":
            packed += body
        at += size + 12
    data, rows, above = zlib.decompress(packed), [], bytearray(width * channels)
    for number in range(height):
        start = number * (width * channels + 1)
        line = bytearray(data[start + 1 : start + 1 + width * channels])
        _unfilter(data[start], line, above, channels)
        rows.append([(line[x], line[x + 1], line[x + 2]) for x in range(0, len(line), channels)])
        above = line
    return rows


def _unfilter(kind: int, line: bytearray, above: bytearray, channels: int) -> None:
    for x in range(len(line)):
        left = line[x - channels] if x >= channels else 0
        up = above[x]
        corner = above[x - channels] if x >= channels else 0
        if kind == 1:
            add = left
        elif kind == 2:
            add = up
        elif kind == 3:
            add = (left + up) // 2
        elif kind == 4:
            guess = left + up - corner
            add = min((left, up, corner), key=lambda one: abs(guess - one))
        else:
            return
        line[x] = (line[x] + add) & 0xFF


def start_browser(place: Path) -> Browser:
    """Start one, or skip the test where there is none.

    :param place: a directory for what it writes.
    """
    program = need_tool("chromium")
    # It makes a socket there, whose path may have 107 bytes.
    short = tempfile.mkdtemp(prefix="overlaykit-browser-", dir="/tmp")
    orders_out, orders_in = os.pipe()
    answers_out, answers_in = os.pipe()
    command = [
        *(sys.executable, "-P", "-c", _LAUNCH, str(orders_out), str(answers_in), program),
        *("--headless=new", "--remote-debugging-pipe", f"--user-data-dir={place}", "--no-first-run", "--disable-gpu"),
        *("--disable-extensions", "--disable-background-networking", "--disable-dev-shm-usage", "--hide-scrollbars"),
        # Its sandbox wants a user that is not root, and may become another one; what it shows is our own.
        "--no-sandbox",
    ]
    process = subprocess.Popen(
        command,
        pass_fds=(orders_out, answers_in),
        env={
            **os.environ,
            "HOME": str(place),
            "XDG_CONFIG_HOME": str(place),
            "XDG_CACHE_HOME": str(place),
            "TMPDIR": short,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(orders_out)
    os.close(answers_in)
    return Browser(process, orders_in, answers_out, str(place), short)
