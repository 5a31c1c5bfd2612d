"""A real browser, driven as the W3C WebDriver protocol says: a few JSON requests to `chromedriver`.

    with Browser() as browser:
        browser.open("http://127.0.0.1:8127/")
        browser.press("Start")
        browser.type("#answer", "Paris")

`missing()` says why there is none. Chromium comes from the system's packages (`chromium`, `chromium-driver`).
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.support.hang import HANG

STARTS = 5
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def missing() -> str:
    """Why no browser can be driven here; empty if one can."""
    names = [name for name in ("chromedriver", "chromium") if shutil.which(name) is None]
    return f"not installed: {', '.join(names)} (packages chromium, chromium-driver)" if names else ""


class Browser:
    """One window of headless Chromium with a profile of its own."""

    def __init__(self, *, width: int = 1280, height: int = 900, dark: bool = False, scripts: bool = True) -> None:
        self._home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        options = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        options += [f"--user-data-dir={self._home.name}/profile", "--force-device-scale-factor=1"]
        options += ["--no-sandbox"] if os.geteuid() == 0 else []
        options += ["--blink-settings=preferredColorScheme=0"] if dark else []
        preferences = {} if scripts else {"profile.managed_default_content_settings.javascript": 2}
        self._options = {"args": options, "binary": shutil.which("chromium"), "prefs": preferences}
        self._size = (width, height)
        self.dark = dark

    def __enter__(self) -> Self:
        self._driver, port = self._started()
        self._client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=HANG)
        self._session = ""
        try:
            self._begin()
        except BaseException:
            self._end()
            raise
        return self

    def _started(self) -> tuple[subprocess.Popen[str], str]:
        """The driver and its port. It needs the same port for IPv4 and IPv6, and ends if the one it drew is taken."""
        for _ in range(STARTS):
            driver = subprocess.Popen(
                [shutil.which("chromedriver") or "", "--port=0"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "HOME": self._home.name},
            )
            assert driver.stdout is not None
            for line in driver.stdout:
                if found := re.search(r"successfully on port (\d+)", line):
                    return driver, found[1]
            driver.stdout.close()
            driver.wait()
        raise RuntimeError(f"chromedriver ended at once, {STARTS} times")

    def _begin(self) -> None:
        capabilities = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": self._options}}
        self._session = f"/session/{self._ask('POST', '/session', {'capabilities': capabilities})['sessionId']}"
        width, height = self._size
        self._cdp(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        if self.dark:
            feature = {"name": "prefers-color-scheme", "value": "dark"}
            self._cdp("Emulation.setEmulatedMedia", {"features": [feature]})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._session:
            self._ask("DELETE", "")
        self._client.close()
        self._driver.terminate()  # it takes with it a browser that it was still starting
        self._driver.wait(HANG)
        assert self._driver.stdout is not None
        self._driver.stdout.close()
        self._home.cleanup()

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        content = None if method != "POST" else json.dumps(body or {})
        reply = self._client.request(method, f"{self._session}{path}", content=content)
        value = reply.json()["value"]
        assert reply.status_code == 200, value
        return value

    def _cdp(self, command: str, parameters: object) -> Any:
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, address: str) -> None:
        self._ask("POST", "/url", {"url": address})

    def reload(self) -> None:
        self._ask("POST", "/refresh")

    def back(self) -> None:
        self._ask("POST", "/back")

    def tab(self) -> str:
        """The window in front."""
        return self._ask("GET", "/window")

    def new_tab(self) -> str:
        """Open one and bring it to the front."""
        handle: str = self._ask("POST", "/window/new", {"type": "tab"})["handle"]
        self.switch(handle)
        return handle

    def switch(self, handle: str) -> None:
        self._ask("POST", "/window", {"handle": handle})

    def _find(self, css: str) -> str:
        found: list[dict[str, str]] = self._ask("POST", "/elements", {"using": "css selector", "value": css})
        assert found, f"{css} is not on the page: {self.text()}"
        return found[0][_ELEMENT]

    def press(self, label: str) -> None:
        """The button with this text; comes back when the page that it leads to is there."""
        where = {"using": "xpath", "value": f"//button[normalize-space()='{label}']"}
        until = time.monotonic() + HANG
        while not (found := self._ask("POST", "/elements", where)):
            assert time.monotonic() < until, f"no button {label!r} on the page: {self.text()}"
            time.sleep(0.05)
        button = f"{self._session}/element/{found[0][_ELEMENT]}"
        self._ask("POST", f"/element/{found[0][_ELEMENT]}/click")
        while self._client.get(f"{button}/name").status_code == 200:  # until the old page is gone
            assert time.monotonic() < until, f"{label!r} leads nowhere: {self.text()}"
            time.sleep(0.02)
        self.wait(lambda: self.script("return document.readyState") == "complete")

    def click(self, css: str) -> None:
        self._ask("POST", f"/element/{self._find(css)}/click")

    def type(self, css: str, keys: str) -> None:
        self._ask("POST", f"/element/{self._find(css)}/value", {"text": keys})

    def keys(self, *keys: str, holding: str = "") -> None:
        """Press keys wherever the focus is, while another is held down."""
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        if holding:
            steps = [{"type": "keyDown", "value": holding}, *steps, {"type": "keyUp", "value": holding}]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": steps}]})

    def text(self, css: str = "body") -> str:
        """As a reader sees it; in one step, since the page may be drawn anew at any moment."""
        return self.script(f"return document.querySelector({json.dumps(css)})?.innerText ?? ''")

    def value(self, css: str) -> str:
        return self._ask("GET", f"/element/{self._find(css)}/property/value")

    def script(self, source: str) -> Any:
        return self._ask("POST", "/execute/sync", {"script": source, "args": []})

    def wait(self, condition: Callable[[], bool], seconds: float = HANG) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"it did not come to pass; the page: {self.text()}"
            time.sleep(0.05)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))
