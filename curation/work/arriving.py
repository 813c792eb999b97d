"""Results of tasks as they come, whatever becomes of each on its way."""

from __future__ import annotations

import queue
from typing import Generic, TypeVar

from distributed import Client, Future

R = TypeVar("R")


class Arrivals(Generic[R]):
    """Tasks that have ended, with their results.

    Dask's own (`as_completed`) never tells of a task that was done and whose result cannot be had: of one whose worker was
    lost before anybody had the result, and that failed when it was done again; of one whose result broke off on its way,
    with all that were fetched together with it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ended: queue.SimpleQueue[tuple[Future[R], R | None, Exception | None]] = queue.SimpleQueue()

    def add(self, future: Future[R]) -> None:
        """Tells of this one when it has ended."""
        self._client.loop.add_callback(self._follow, future)  # type: ignore[union-attr]  # it has begun

    async def _follow(self, future: Future[R]) -> None:
        try:
            got, err = await future, None
        except Exception as its:  # noqa: BLE001 - its own, or what came between: who asks decides
            got, err = None, its
        self._ended.put((future, got, err))

    def take(self, within_s: float) -> list[tuple[Future[R], R | None, Exception | None]]:
        """All that have ended since, each with its result, or the error that came in its place; waits so long for one."""
        out = []
        try:
            out.append(self._ended.get(timeout=within_s))
            while True:
                out.append(self._ended.get_nowait())
        except queue.Empty:
            return out
