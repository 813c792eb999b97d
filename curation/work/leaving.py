"""What a worker says when it ends in order, so that no slab is blamed for it. Imported by workers only.

A crash has no time to say anything; but neither have all that end in order, left to themselves. One without a nanny
(`dask worker --no-nanny`) has its connection closed by SIGTERM before Dask would say something by it. One with a nanny that
gets the signal together with that (batch systems and service managers tell all processes of a job) is dead before the nanny
acts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from typing import Any

from distributed import Worker, WorkerPlugin
from distributed.core import Status

from curation.work.roster import GOODBYE

NAME = "curation-leaving"
"""Of the plugin on a worker: one, whoever asks for it."""

SAY_S = 2.0
"""How long the scheduler may take to hear it: a batch system kills soon after."""

NANNY_S = 2.0
"""How long after SIGTERM a worker's nanny may take to end it in order. The signal may also be the nanny's own, for a worker
out of memory, which it kills a moment later."""


class Leaving(WorkerPlugin):
    """Says to the scheduler, by a connection of its own, that this worker ends in order."""

    def setup(self, worker: Worker) -> None:
        """Called in the thread that the worker's loop runs in; its process's main thread where that is the worker's own."""
        main = threading.current_thread() is threading.main_thread()
        if not (main and worker.nanny and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL):
            return

        def end() -> None:
            if worker.status not in (Status.closing, Status.closed):
                os.kill(os.getpid(), signal.SIGKILL)

        def leave_it_to_the_nanny(number: int, frame: object) -> None:
            timer = threading.Timer(NANNY_S, end)
            timer.daemon = True
            timer.start()

        signal.signal(signal.SIGTERM, leave_it_to_the_nanny)

    async def teardown(self, worker: Worker) -> None:
        """Called as the worker closes, for whatever reason; not where its process is killed or dies."""
        with contextlib.suppress(OSError, asyncio.TimeoutError):  # the scheduler may be what is gone
            said = worker.scheduler.log_event(topic=worker.address, msg={"action": GOODBYE})
            await asyncio.wait_for(said, SAY_S)


def install(worker: Any) -> None:
    """Makes a worker say so; may be called from any thread, and again."""

    async def once() -> None:
        if NAME not in worker.plugins:
            await worker.plugin_add(Leaving(), name=NAME)

    worker.loop.add_callback(once)
