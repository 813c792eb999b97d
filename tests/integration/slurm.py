"""Slurm of one node, this machine, and a Dask cluster whose workers are its jobs."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.integration import programs
from tests.integration.running import service, with_ports
from tests.processes import started

CONF = """
ClusterName=integration
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmctldPort={controller}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/node
StateSaveLocation={folder}/state
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
KillWait=5
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 Port={node} CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

CLUSTER = """
import json, os, sys
from dask_jobqueue import SLURMCluster
from distributed import Client
with SLURMCluster(**json.loads(sys.argv[1])) as cluster, Client(cluster) as client:
    cluster.scale(jobs=1)
    client.wait_for_workers(1, timeout=120)
    jobs = client.run(os.getenv, "SLURM_JOB_ID")
    print(json.dumps({"address": cluster.scheduler_address, "jobs": sorted(jobs.values())}), flush=True)
    sys.stdin.read()
"""
"""What a user's own script does who has Slurm."""


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster of Slurm's."""

    address: str
    jobs: list[str]
    """Ids of the jobs that its workers said they are, of as many as there were when it was made."""


def missing() -> str:
    """What there is not of it, and how to have it."""
    names = programs.missing_slurm()
    return f"no {', '.join(names)}: apt-get install slurm-wlm munge" if names else ""


@contextlib.contextmanager
def dask_cluster(logs: Path, env: Mapping[str, str]) -> Iterator[Cluster]:
    """A Dask cluster with one worker, a job of a Slurm of its own.

    Args:
        logs: where Slurm, the jobs and the scheduler tell what they do.
        env: what a worker's environment has beside this one's.
    """
    with with_ports(2, lambda *ports: _slurm(logs, *ports)) as conf:
        options = {
            "queue": "main",
            "cores": 2,
            "processes": 1,
            "memory": "2GB",
            "job_mem": "1000M",  # which Slurm does not watch here; a node may claim no more than there is
            "walltime": "00:30:00",
            "python": sys.executable,
            "interface": "lo",
            "local_directory": str(conf.parent),
            "log_directory": str(logs / "jobs"),
            "job_extra_directives": ["--export=ALL", f"--output={logs}/jobs/%j.out", f"--error={logs}/jobs/%j.err"],
            "scheduler_options": {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"},
        }
        command = [sys.executable, "-c", CLUSTER, json.dumps(options)]
        with (logs / "slurm-cluster.log").open("ab") as log:
            its = os.environ | dict(env) | {"SLURM_CONF": str(conf)}
            process = started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=its, text=True)
            with process as running:
                said = running.stdout.readline()
                assert said, (logs / "slurm-cluster.log").read_text(errors="replace")[-3000:]
                yield Cluster(**json.loads(said))
                running.stdin.close()  # its sign to end
                running.wait(60)


@contextlib.contextmanager
def _slurm(logs: Path, controller: int, node: int) -> Iterator[Path]:
    """The configuration of a Slurm whose node is idle."""
    (logs / "jobs").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="curation-slurm-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)  # the path of munge's socket has to be short
        for below in ("node", "state"):
            (folder / below).mkdir()
        key, conf = folder / "munge.key", folder / "slurm.conf"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(1024))
        host = socket.gethostname().partition(".")[0]
        conf.write_text(CONF.format(folder=folder, host=host, user=getpass.getuser(), controller=controller, node=node))
        env = os.environ | {"SLURM_CONF": str(conf)}
        munge = folder / "munge.socket"
        munged = ["munged", "--foreground", "--force", f"--socket={munge}", f"--key-file={key}"]
        munged += [f"--{what}-file={folder}/munge.{what}" for what in ("pid", "log", "seed")]

        def idle() -> bool | None:
            command = [str(programs.found("sinfo")), "--noheader", "--format=%T"]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            return done.stdout.strip() == "idle" or None

        with contextlib.ExitStack() as stack:
            for command, ready in (
                (munged, lambda: munge.exists() or None),
                (["slurmctld", "-D"], lambda: True),
                (["slurmd", "-D", "-N", "node"], idle),
            ):
                program, log = str(programs.found(command[0])), logs / f"{command[0]}.log"
                stack.enter_context(service([program, *command[1:]], log, ready, env=env))
            yield conf
