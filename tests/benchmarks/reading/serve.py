"""A server of byte ranges that answers each request so much later, and counts: `python serve.py FOLDER LATENCY_MS`.

One process, asyncio and sendfile: what a request costs it is the same for every reader. `/_counts` gives requests and
bytes since it was asked last.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path


async def main(folder: Path, latency_s: float) -> None:
    """Serves until killed; prints its port first."""
    files = {f"/{p.relative_to(folder)}": (os.open(p, os.O_RDONLY), p.stat().st_size) for p in folder.rglob("*.tif")}
    counts = {"requests": 0, "bytes": 0}
    loop = asyncio.get_running_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
                if path == "/_counts":
                    body = json.dumps(counts).encode()
                    counts.update(requests=0, bytes=0)
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    continue
                counts["requests"] += 1
                await asyncio.sleep(latency_s)
                if path not in files:
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                file, size = files[path]
                asked = re.search(rb"(?i)\r\nrange: *bytes=(\d+)-(\d*)", head)
                first, last = (int(asked[1]), min(int(asked[2] or size), size - 1)) if asked else (0, size - 1)
                told = f"Content-Range: bytes {first}-{last}/{size}\r\n" if asked else ""
                writer.write(
                    f"HTTP/1.1 {'206 Partial Content' if asked else '200 OK'}\r\nAccept-Ranges: bytes\r\n"
                    f'ETag: "{size}"\r\n{told}Content-Length: {last + 1 - first}\r\n\r\n'.encode()
                )
                if method == "GET":
                    counts["bytes"] += last + 1 - first
                    await writer.drain()
                    with open(os.dup(file), "rb") as source:  # noqa: PTH123  # a descriptor
                        await loop.sendfile(writer.transport, source, first, last + 1 - first)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the reader went away
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2]) / 1000))
