"""dask-gateway with its backend for one machine, and a Dask cluster that it has made."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.integration.running import service, with_ports
from tests.processes import started

CONFIG = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.address = "127.0.0.1:0"
c.Proxy.address = "127.0.0.1:{port}"
c.Proxy.api_token = {token!r}
c.SimpleAuthenticator.password = {password!r}
c.UnsafeLocalBackend.clusters_directory = {folder!r}
c.ClusterConfig.scheduler_cmd = [{python!r}, "-m", "dask", "scheduler"]
c.ClusterConfig.worker_cmd = [{python!r}, "-m", "dask", "worker"]
c.ClusterConfig.worker_cores = 2
c.ClusterConfig.worker_memory = "2 G"
c.ClusterConfig.environment = {env!r}
"""

CLUSTER = """
import json, os, sys
from dask_gateway import BasicAuth, Gateway
asked = json.loads(sys.argv[1])
with Gateway(asked["url"], auth=BasicAuth("tests", os.environ["PASSWORD"])) as gateway:
    with gateway.new_cluster() as cluster:
        cluster.scale(1)
        with cluster.get_client() as client:
            client.wait_for_workers(1, timeout=120)
        for name in ("cert", "key"):
            with open(asked[name], "w") as file:
                file.write(getattr(cluster.security, f"tls_{name}"))
        print(json.dumps(cluster.scheduler_address), flush=True)
        sys.stdin.read()
"""
"""What a user's own script does who has a gateway: what it hands on is an address, a certificate, and its key."""


@dataclass(frozen=True)
class Cluster:
    """A cluster behind a gateway."""

    address: str
    env: dict[str, str]
    """The environment in which Dask's own configuration lets one in."""
    secrets: dict[str, str]
    """What lets one in, by what it is."""


@contextlib.contextmanager
def dask_cluster(folder: Path, logs: Path, env: Mapping[str, str]) -> Iterator[Cluster]:
    """A Dask cluster with one worker, made by a gateway of its own.

    Args:
        folder: an empty one.
        logs: where the gateway and the cluster tell what they do.
        env: what a worker's environment has beside what a gateway gives it.
    """
    token, password = secrets.token_hex(32), secrets.token_hex(16)
    with with_ports(1, lambda port: _gateway(folder, logs, env, port, token, password)) as url:
        files = {name: folder / f"client.{name}" for name in ("cert", "key")}
        command = [sys.executable, "-c", CLUSTER, json.dumps({"url": url, **{k: str(v) for k, v in files.items()}})]
        with (logs / "gateway-cluster.log").open("ab") as log:
            its = os.environ | {"PASSWORD": password}
            process = started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=its, text=True)
            with process as running:
                said = running.stdout.readline()
                assert said, (logs / "gateway-cluster.log").read_text(errors="replace")[-3000:]
                tls = {"CA_FILE": files["cert"], "CLIENT__CERT": files["cert"], "CLIENT__KEY": files["key"]}
                yield Cluster(
                    json.loads(said),
                    {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(path) for name, path in tls.items()}
                    | {"DASK_DISTRIBUTED__CLIENT__PRELOAD": "dask_gateway"},
                    {
                        "token of the gateway's proxy": token,
                        "password of the gateway": password,
                        "key of the gateway's cluster": files["key"].read_text().splitlines()[1],
                    },
                )
                for log in folder.glob("*/logs/*"):  # which goes with the cluster
                    (logs / f"gateway-{log.name}").write_bytes(log.read_bytes())
                running.stdin.close()  # its sign to end
                running.wait(60)


@contextlib.contextmanager
def _gateway(folder: Path, logs: Path, env: Mapping[str, str], port: int, token: str, password: str) -> Iterator[str]:
    """The address of a gateway."""
    config = folder / "dask_gateway_config.py"
    config.touch(0o600)
    config.write_text(
        CONFIG.format(
            port=port, token=token, password=password, folder=str(folder), python=sys.executable, env=dict(env)
        )
    )
    command = [sys.executable, "-m", "dask_gateway_server", "--config", config]
    url = f"http://127.0.0.1:{port}"
    with service(command, logs / "gateway.log", lambda: _healthy(url), cwd=folder):
        yield url


def _healthy(url: str) -> bool | None:
    """True where the gateway says so itself: its proxy listens, and finds nothing, before that."""
    try:
        return requests.get(f"{url}/api/health", timeout=5).status_code == 200 or None
    except requests.RequestException:  # nobody listens yet, or says nothing
        return None
