"""The server: the STAC API and the archive on one loopback port."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import datetime as dt
import json
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import platformdirs
import uvicorn
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from curation.embedded.archive.archive import Archive, Key
from curation.embedded.archive.mark import rendering
from curation.embedded.service import api, era5, items
from curation.embedded.world import traits
from curation.embedded.world.traits import PLAIN_TRAITS

RENDERERS = 2
"""Scenes rendered at a time; each takes a few hundred MB while it lasts."""

PR_SET_PDEATHSIG = 1

MEDIA_TYPES = {".tif": items.COG, ".nc": "application/x-netcdf"}


def default_cache() -> Path:
    """A folder in the user's cache folder, one per Earth: what another one rendered is never taken for this one's."""
    its = traits.served()
    mark = rendering() if its == PLAIN_TRAITS else f"{rendering()}-{its.name}"
    return Path(platformdirs.user_cache_dir("curation")) / f"embedded-{mark}"


def make_app(cache: Path, log: Path | None = None) -> ASGIApp:
    """The whole application: the STAC API under /stac, files under /archive."""
    every = items.all_items()
    app = api.make_app(items.all_collections(every), every)
    store = Archive(cache)
    pool = ThreadPoolExecutor(RENDERERS, thread_name_prefix="render")

    async def file(request: Request) -> Response:
        parts = request.path_params
        name = parts["name"]
        key = Key(parts["collection"], parts["item"], Path(name).stem)
        if name != f"{key.asset}{key.suffix}" or not store.known(key):
            raise HTTPException(404, f"no {key.path} in the archive")
        path = store.ready(key)
        if path is None and (blocks := store.in_blocks(key)) is not None:
            span = asked_range(request.headers.get("range"), blocks.size)
            if span is None:
                return Response(status_code=416, headers={"Content-Range": f"bytes */{blocks.size}"})
            data = b""
            if request.method == "GET":
                try:
                    data = await asyncio.get_running_loop().run_in_executor(pool, store.read, key, *span)
                except OSError as err:
                    return no_room(cache, err)
            return part_response(data, *span, blocks.size, partial="range" in request.headers)
        if path is None:
            try:
                path = await asyncio.get_running_loop().run_in_executor(pool, store.path, key)
            except OSError as err:
                return no_room(cache, err)
        return FileResponse(path, media_type=MEDIA_TYPES[key.suffix])

    async def climate(request: Request) -> Response:
        data = await asyncio.get_running_loop().run_in_executor(pool, era5.content, request.path_params["key"])
        if data is None:
            raise HTTPException(404, f"no {era5.PATH}/{request.path_params['key']} in the archive")
        return Response(data, media_type="application/octet-stream")

    app.add_route(f"/archive/{era5.PATH}/{{key:path}}", climate, methods=["GET", "HEAD"])
    app.add_route("/archive/{collection}/{item}/{name}", file, methods=["GET", "HEAD"])
    return app if log is None else RequestLog(app, log)


def no_room(cache: Path, err: OSError) -> Response:
    """An answer that says why nothing can be rendered: 507, which no client asks again for."""
    what = os.strerror(err.errno) if err.errno else f"{type(err).__name__}: {err}"
    do = "make room there, or give another (the environment's XDG_CACHE_HOME), then run the same command again"
    return PlainTextResponse(f"cannot render into the cache folder {cache}: {what}: {do}", 507)


def asked_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte, and that after the last, of a request's range (the whole without one); None where the file has none such.

    Of several ranges, and of what is no range, nothing is understood: that is answered with the whole (RFC 9110, 14.2).
    """
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").replace(" ", ""))
    if found is None or not any(found.groups()):
        return 0, size
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    return (start, stop) if start < stop else None


def part_response(data: bytes, start: int, stop: int, size: int, *, partial: bool) -> Response:
    """An answer with bytes of a file that never changes."""
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(stop - start),
        "ETag": f'"earth-{rendering()}-{size}"',
    }
    if partial and (start, stop) != (0, size):
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(data, 206 if "Content-Range" in headers else 200, headers, items.COG)


class RequestLog:
    """An application with one JSON line for each request of an archive file, written when it has been answered."""

    def __init__(self, app: ASGIApp, path: Path) -> None:
        self._app = app
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, and writes the line."""
        if scope["type"] != "http" or not scope["path"].startswith("/archive/"):
            await self._app(scope, receive, send)
            return
        line: dict[str, Any] = {
            "t": dt.datetime.now(dt.UTC).isoformat(),
            "method": scope["method"],
            "path": scope["path"],
            "range": next((v.decode() for k, v in scope["headers"] if k == b"range"), None),
            "status": None,
            "bytes": 0,
        }

        left, written = 0, False

        async def counted(message: MutableMapping[str, Any]) -> None:
            nonlocal left, written
            last = False
            if message["type"] == "http.response.start":
                line["status"] = message["status"]
                length = next((int(v) for k, v in message["headers"] if k.lower() == b"content-length"), None)
                left = -1 if length is None else 0 if scope["method"] == "HEAD" else length
                last = left == 0
            elif message["type"] == "http.response.body":
                size = len(message.get("body", b""))
                line["bytes"] += size
                left -= size
                last = left == 0 or not message.get("more_body")
            if last and not written:
                # Before the last bytes leave, which a client knows by their number: who has the answer has its line.
                self._file.write(json.dumps(line) + "\n")
                self._file.flush()
                written = True
            await send(message)

        await self._app(scope, receive, counted)


class _Announced(uvicorn.Server):
    """A server that says so when it answers."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says so."""
        await super().startup(sockets)
        self._announce()


def main(argv: list[str] | None = None) -> int:
    """Serves until killed (or until standard input ends); prints one JSON line when it answers."""
    parser = argparse.ArgumentParser(
        prog="python -m curation.embedded",
        description="A small Earth on loopback: a STAC API and the GeoTIFFs and netCDF files that it lists.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument(
        "--cache", type=Path, default=None, help=f"folder of rendered files (default {default_cache()})"
    )
    parser.add_argument("--log", type=Path, default=None, help="append one JSON line per request of an archive file")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    parser.add_argument(
        "--with-parent", action="store_true", help="end when the process that started this one does (Linux)"
    )
    args = parser.parse_args(argv)
    if args.with_parent and sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        listener = socket.create_server(("127.0.0.1", args.port))
    except (OSError, OverflowError) as err:
        why = os.strerror(err.errno) if isinstance(err, OSError) and err.errno else str(err)
        print(f"port {args.port}: {why}: say another (--port), or 0 for a free one", file=sys.stderr)
        return 1
    port = listener.getsockname()[1]

    def announce() -> None:
        print(json.dumps({"url": f"http://127.0.0.1:{port}{api.PREFIX}", "pid": os.getpid()}), flush=True)

    os.environ.setdefault("GDAL_CACHEMAX", "64")  # MB: everything is written once, from the top
    app = make_app(args.cache or default_cache(), args.log)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    server = _Announced(config, announce)
    if args.until_eof:
        threading.Thread(target=_end_at_eof, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run([listener])
    return 0


def _end_at_eof() -> None:
    """Ends the process at once when standard input ends: what is half rendered was never published."""
    while os.read(0, 4096):
        pass
    os._exit(0)
