"""Which of the ranks a process is: asked when it is needed, since frameworks open data first and make processes then."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from typing import Any, NamedTuple

import torch.distributed
import torch.utils.data

from curation.errors import ConfigError

log = logging.getLogger(__name__)

_PREPARED = (
    "leave its DataLoader out of accelerator.prepare(…), and move batches with accelerate.utils.send_to_device; in a "
    "transformers.Trainer, return it from get_train_dataloader"
)
_SHARDERS = {
    "IterableDatasetShard": ("gives each process a part of what it iterates", _PREPARED),
    "DataLoaderDispatcher": ("reads on the first process alone, and deals that out", _PREPARED),
    "IterableDataset": ("gives each node a part of what it iterates", "leave out split_dataset_by_node"),
}
"""Classes of accelerate, transformers and datasets that deal samples to processes: what they do, and what to do instead."""


class Rank(NamedTuple):
    """One of the processes that share an epoch."""

    rank: int
    world_size: int


class _Claim(NamedTuple):
    """What somebody says of this process."""

    who: str
    rank: int | None
    world_size: int | None

    def __str__(self) -> str:
        parts = [f"rank {self.rank}"] if self.rank is not None else []
        return f"{self.who} {' '.join([*parts, *([f'of {self.world_size}'] if self.world_size is not None else [])])}"


class Ranks:
    """Rank and number of ranks of this process, or, in a DataLoader's worker, of the one that iterates."""

    def __init__(self, rank: int | None, world_size: int | None) -> None:
        """What was given; what is not given is asked for later.

        Raises:
            ConfigError: one without the other, or no rank of so many.
        """
        if (rank is None) != (world_size is None):
            raise ConfigError(
                f"rank = {rank}, world_size = {world_size}: give both, or neither to ask torch.distributed and the "
                "environment"
            )
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise ConfigError(f"rank = {rank}: expected 0 ≤ rank < world_size = {world_size}")
        self._argument = _Claim("given", rank, world_size)
        self._handed_over: tuple[int, Rank | str] | None = None
        self._has_warned = False

    def __getstate__(self) -> dict[str, Any]:
        """A worker that shares no memory knows of no process group: it is told when it is made."""
        try:
            self.tell_stray()
            found: Rank | str = self.now()
        except ConfigError as err:  # for who needs it there
            found = str(err)
        return {**self.__dict__, "_handed_over": (os.getpid(), found)}

    def now(self) -> Rank:
        """Rank and number of ranks.

        Raises:
            ConfigError: what was given, the environment and torch.distributed do not say the same.
        """
        parent = multiprocessing.parent_process()
        if torch.utils.data.get_worker_info() is not None and self._handed_over is not None and parent is not None:
            maker, found = self._handed_over
            if maker == parent.pid:
                if isinstance(found, str):
                    raise ConfigError(found)
                return found
        # A forked worker has its parent's memory, and so what torch.distributed said there.
        claims = [self._argument, _environment(), *_of_group()]
        claims = [t for t in claims if t.rank is not None or t.world_size is not None]
        ranks = {t.rank for t in claims if t.rank is not None}
        sizes = {t.world_size for t in claims if t.world_size is not None}
        if len(ranks) > 1 or len(sizes) > 1:
            raise ConfigError(
                f"which rank this is: {', '.join(map(str, claims))}: expected the same of all: give neither rank nor "
                "world_size, or those of the process group; unset RANK and WORLD_SIZE where they are left from another job"
            )
        rank, size = ranks.pop() if ranks else 0, sizes.pop() if sizes else 1
        if (size > 1 and not any(t.rank is not None for t in claims)) or not 0 <= rank < size:
            raise ConfigError(
                f"which rank this is: {', '.join(map(str, claims))}: expected a rank below the number of ranks: iterate "
                "after init_process_group, start with torchrun, or give rank and world_size"
            )
        return Rank(rank, size)

    def tell_stray(self) -> None:
        """Says once that nothing but the environment makes this process, which iterates, one of several.

        So it is with torchrun, too, where the process group is made later or never; but also in a shell whose variables are
        left from another job, and then most samples would be missed in silence.
        """
        info = torch.utils.data.get_worker_info()
        if self._has_warned or (info is not None and (info.id > 0 or self._handed_over is not None)):
            return
        size = _environment().world_size
        if size is not None and size > 1 and self._argument.rank is None and not _of_group():
            self._has_warned = True
            log.warning(
                "%s by the environment alone, while torch.distributed is not initialised: this process is given its share "
                "of the samples and no more; unset RANK and WORLD_SIZE where they are left from another job",
                _environment(),
            )


def _of_group() -> list[_Claim]:
    """What torch.distributed says, where it is initialised."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return []
    return [_Claim("torch.distributed", torch.distributed.get_rank(), torch.distributed.get_world_size())]


def _environment() -> _Claim:
    """What torchrun, or who works like it, says in the environment."""
    values: list[int | None] = []
    for name in ("RANK", "WORLD_SIZE"):
        text = os.environ.get(name)
        if text is not None and not text.isdecimal():
            raise ConfigError(f"environment: {name} = {text!r}: expected a whole number, as torchrun sets it, or none")
        values.append(None if text is None else int(text))
    return _Claim("RANK, WORLD_SIZE", *values)


_NEAR = 8
"""Frames between a dataset's `__iter__` and who begins it in a DataLoader, at most."""


def refuse_batcher(batch_size: int) -> None:
    """Looks who is calling; for a dataset that makes batches itself.

    Raises:
        ConfigError: a DataLoader that makes batches of what it gets, and so batches of batches.
    """
    frame = sys._getframe(1)
    for _ in range(_NEAR):
        if (caller := frame.f_back) is None:
            return
        frame = caller
        if frame.f_code.co_qualname == "_IterableDatasetFetcher.__init__":
            if frame.f_locals.get("auto_collation"):
                raise ConfigError(
                    f"DataLoader: makes batches of what it gets, and this dataset gives batches of {batch_size}: say "
                    "DataLoader(dataset, batch_size=None); or open_shards(…, batch_size=None), which gives samples"
                )
            return


def refuse_sharder() -> None:
    """Looks who is calling.

    Raises:
        ConfigError: it deals samples to processes itself, and so a second time.
    """
    frame = sys._getframe(1)
    while (caller := frame.f_back) is not None:
        frame = caller
        name, _, method = frame.f_code.co_qualname.partition(".")
        if name not in _SHARDERS or method not in ("__iter__", "set_epoch"):
            continue  # and so no locals of the user's frames are looked at, which would keep batches
        sharder = frame.f_locals.get("self")
        # That of datasets deals only where it was told to whom.
        if type(sharder).__name__ == name and getattr(sharder, "_distributed", name) is not None:
            does, instead = _SHARDERS[name]
            raise ConfigError(
                f"{type(sharder).__module__}.{name} {does}, and this dataset deals samples to ranks by itself: most would "
                f"never be seen: {instead}"
            )
