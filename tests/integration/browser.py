"""A browser without a window, led by its own protocol (Chrome DevTools): keys are pressed as a person does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.integration.programs import found
from tests.processes import started

VARIABLE = "CURATION_BROWSER"
"""A variable of the environment that names one."""


def browser() -> Path | None:
    """Chromium, or what is one by another name."""
    named = os.environ.get(VARIABLE)
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return Path(named) if named else next(filter(None, map(found, names)), None)


class Tab:
    """A page of the browser's."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self.faults: list[str] = []
        """What the page wrote that went wrong: exceptions, and what its policy forbade."""

    async def tell(self, method: str, **how: Any) -> dict[str, Any]:
        """What the browser answers."""
        number = next(self._numbers)
        await self._socket.write_message(json.dumps({"id": number, "method": method, "params": how}))
        while True:
            said = json.loads(await asyncio.wait_for(self._socket.read_message(), 60))
            if said.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.faults.append(str(said["params"]))
            if said.get("id") == number:
                assert "error" not in said, said
                result: dict[str, Any] = said["result"]
                return result

    async def value(self, expression: str) -> Any:
        """What an expression comes to on the page."""
        return (await self.tell("Runtime.evaluate", expression=expression, returnByValue=True))["result"].get("value")

    async def until(self, expression: str) -> None:
        """Waits until it is so on the page."""
        for _ in range(300):
            if await self.value(expression):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{expression}: not so after 30 s: {await self.value('document.body.innerText')}")

    async def press(self, key: str) -> None:
        """Presses a key and lets go of it."""
        text = {"text": key} if len(key) == 1 else {}
        await self.tell("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        await self.tell("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode((await self.tell("Page.captureScreenshot"))["data"])


@contextlib.asynccontextmanager
async def opened(program: Path, url: str, folder: Path) -> AsyncIterator[Tab]:
    """A browser with a page open, for as long as the context lasts; it writes below `folder` alone."""
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--window-size=1250,950"]
    flags += ["--remote-debugging-port=0", f"--user-data-dir={folder}", url]
    with started([program, *flags], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        port = folder / "DevToolsActivePort"
        for _ in range(600):
            assert process.poll() is None, process.returncode
            if port.is_file() and port.read_text().strip():
                break
            await asyncio.sleep(0.1)
        number = port.read_text().split()[0]
        socket = await websocket_connect(f"ws://127.0.0.1:{number}{await _target(number)}", max_message_size=1 << 26)
        tab = Tab(socket)
        try:
            for domain in ("Runtime", "Page", "Log"):
                await tab.tell(f"{domain}.enable")
            yield tab
        finally:
            socket.close()
            while await socket.read_message() is not None:
                pass


async def _target(port: str) -> str:
    """Path of the page's socket."""
    from tornado.httpclient import AsyncHTTPClient

    for _ in range(300):
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json")
        pages = [its for its in json.loads(answer.body) if its["type"] == "page"]
        if pages:
            return "/" + str(pages[0]["webSocketDebuggerUrl"]).split("/", 3)[3]
        await asyncio.sleep(0.1)
    raise AssertionError("the browser has no page")
