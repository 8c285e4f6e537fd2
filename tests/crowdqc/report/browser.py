"""Headless Chromium over its DevTools pipe: enough to read a page as a person would.

No driver and no package is needed: the browser reads commands from file descriptor 3 and writes
answers to 4, each a JSON record that ends with a zero byte.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1280,900",
    "--remote-debugging-pipe",
)  # fmt: skip


def find_chromium() -> str | None:
    """Path of the browser; `None` where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Pipe:
    """Records to a browser and back; what was not asked for goes to whoever listens."""

    def __init__(self, send: int, receive: int) -> None:
        self._send = send
        self._receive = receive
        self._buffer = b""
        self._last = 0
        self.listeners: dict[str, Callable[[str, dict[str, Any]], None]] = {}

    def call(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def read(self) -> dict[str, Any]:
        """The next record; an event is handed on first."""
        while b"\0" not in self._buffer:
            part = os.read(self._receive, 1 << 20)
            if not part:
                raise RuntimeError("The browser has gone.")
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\0", 1)
        record = json.loads(line)
        listener = self.listeners.get(record.get("sessionId", ""))
        if listener and "method" in record:
            listener(record["method"], record["params"])
        return record


class Page:
    """A page in a browser, with everything that it logged and asked the network for."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.logged: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self._events: list[str] = []
        self._target = pipe.call("Target.createTarget", url="about:blank")["targetId"]
        attached = pipe.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        pipe.listeners[self._session] = self._note
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command of the page and wait for its answer."""
        return self._pipe.call(method, self._session, **params)

    def close(self) -> None:
        """Close the page."""
        del self._pipe.listeners[self._session]
        self._pipe.call("Target.closeTarget", targetId=self._target)

    def open(self, path: Path) -> None:
        """Go to a file and wait until it is loaded."""
        self.go(path.as_uri())

    def go(self, address: str) -> None:
        """Go to an address and wait until it is loaded."""
        self._events.clear()
        self.call("Page.navigate", url=address)
        while "Page.loadEventFired" not in self._events:
            self._pipe.read()

    def run(self, script: str) -> Any:
        """Value of an expression of JavaScript; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression is true; ten seconds at most."""
        for _ in range(200):
            if self.run(script):
                return
            time.sleep(0.05)
        raise TimeoutError(script)

    def press(self, key: str) -> None:
        """Press and release a key."""
        text = {"Enter": "\r", "Space": " "}.get(key, "")
        name = {"Space": " "}.get(key, key)
        code = {"Enter": 13, "Space": 32, "Tab": 9, "Escape": 27}[key]
        common = {"key": name, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, key: str, modifiers: int = 0) -> None:
        """Press and release a key by its name or character; 1 is Alt, 2 Ctrl, 8 Shift."""
        common = {"key": key, "modifiers": modifiers, "text": key if len(key) == 1 else ""}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the left button at one place of the window, and release it at another."""
        places = (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end))
        for kind, (x, y) in places:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def _note(self, method: str, params: dict[str, Any]) -> None:
        self._events.append(method)
        if method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning"}:
            self.logged.append(str(params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.logged.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.logged.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])


@contextlib.contextmanager
def browse(chromium: str, profile: Path) -> Iterator[Pipe]:
    """A new browser, which ends with the block."""
    to_browser, send = os.pipe()
    receive, from_browser = os.pipe()
    # Out of the way of 3 and 4, which the browser wants.
    ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (to_browser, from_browser)]
    log = os.open(profile / "chromium.log", os.O_WRONLY | os.O_CREAT)
    pid = os.posix_spawn(
        chromium,
        [chromium, *FLAGS, f"--user-data-dir={profile}"],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, ends[0], 3),
            (os.POSIX_SPAWN_DUP2, ends[1], 4),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ],
        setpgroup=0,
    )
    for fd in (to_browser, from_browser, *ends, log):
        os.close(fd)
    try:
        yield Pipe(send, receive)
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(send)
        os.close(receive)
