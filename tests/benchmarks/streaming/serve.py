"""A range server on loopback, in a process of its own: nginx where it is installed, else this file with sendfile.

`python serve.py FOLDER` prints the port and serves until it is ended.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

_NGINX = """
daemon off; worker_processes 1; pid {work}/pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; sendfile_max_chunk 1m; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c;
  uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;
  server {{ listen 127.0.0.1:{port}; root "{root}"; }} }}
"""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root = ""

    def _answer(self, has_body: bool) -> None:
        path = os.path.join(self.root, self.path.lstrip("/"))  # noqa: PTH118  # loopback, for as long as a benchmark
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError:
            self.send_error(404)
            return
        try:
            size = os.fstat(file).st_size
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            first, last = (int(wanted[1]), min(int(wanted[2] or size), size - 1)) if wanted else (0, size - 1)
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("Last-Modified", self.date_time_string(os.fstat(file).st_mtime))
            self.end_headers()
            self.wfile.flush()
            while has_body and first <= last:
                first += os.sendfile(self.connection.fileno(), file, first, last + 1 - first)
        except ConnectionError:  # a contender was ended
            self.close_connection = True
        finally:
            os.close(file)

    def do_GET(self) -> None:
        self._answer(True)

    def do_HEAD(self) -> None:
        self._answer(False)

    def log_message(self, *_: object) -> None:
        pass


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(folder: Path, cores: Collection[int] = ()) -> Iterator[tuple[str, str]]:
    """(URL of the folder, which server it is), on those cores alone where any are given."""
    pin = partial(os.sched_setaffinity, 0, cores) if cores else None
    nginx = shutil.which("nginx")
    with tempfile.TemporaryDirectory() as work:
        if nginx:
            port = _free_port()
            conf = Path(work) / "nginx.conf"
            conf.write_text(_NGINX.format(work=work, port=port, root=folder))
            process = subprocess.Popen([nginx, "-c", str(conf), "-p", work], preexec_fn=pin)
            name = "nginx, one worker"
        else:
            command = [sys.executable, __file__, str(folder)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pin)
            port = int(process.stdout.readline()) if process.stdout else 0
            name = "Python threads with sendfile"
        with process:
            try:
                _await(port)
                yield f"http://127.0.0.1:{port}", name
            finally:
                process.terminate()


def _await(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server on port {port} did not start within 5 s; see what it printed")


if __name__ == "__main__":
    _Handler.root = sys.argv[1]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
