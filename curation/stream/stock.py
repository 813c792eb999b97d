"""The same shards through the webdataset package: its pipeline, with our decoder. Imported only when it is asked for."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.data import get_worker_info

from curation.errors import ConfigError
from curation.format.names import META, split_member
from curation.stream.decode import decoder
from curation.stream.opening import find_index

if TYPE_CHECKING:
    from webdataset import WebDataset


def webdataset(
    path_or_url: str | Path,
    split: str = "train",
    members: Sequence[str] | None = None,
    *,
    shuffle: int = 0,
    seed: int = 0,
) -> WebDataset:
    """A `webdataset.WebDataset` of a split, whose samples are decoded: to be gone on with, as any of that package is.

        train = webdataset("shards/ssl4eo-s12-ml", members=["s2l2a_10m.summer", "meta"], shuffle=500)
        loader = DataLoader(train.batched(16, partial=False), batch_size=None, num_workers=2)
        for images, facts in loader: ...

    For code that is built on webdataset. `open_shards` reads the same shards several times as fast, checks every member's
    hash, and gives every rank the same number of batches; here samples of ranks differ by what their shards differ.

    A sample is a dict: `__key__` (the location's id), `meta` (its meta.json) and an array (band, y, x) per member, by what
    `index.members` calls it without its encoding: `s2l2a_10m.summer`, `dem_30m`, `child0.s2l2a_10m.summer`. What it lacks
    is not there.

    Args:
        path_or_url: the dataset's folder, that of its shards, or their URL, which webdataset opens in its own way (by curl,
            gsutil or aws).
        split: `train` or `val`.
        members: names of those that are wanted, others are not read: samples are then tuples in this order, and those that
            lack one are passed over.
        shuffle: samples that are held to draw the next from, and shards in an order of their own, another in each epoch; 0:
            all in order.
        seed: of both. With workers the order follows from torch's own seed (`torch.manual_seed`), too.

    Raises:
        ConfigError: there is no such dataset, split or member, or the webdataset package is not there.
        DamageError: the index is not whole.
    """
    try:
        import webdataset as wds
    except ImportError as err:
        raise ConfigError("stream.webdataset: wants the webdataset package: pip install webdataset") from err

    store, index = find_index(str(path_or_url))
    if split not in index.splits:
        raise ConfigError(f"{store.where('')}: no split {split!r}; it has {', '.join(index.splits)}")
    names = {m: _name(m) for m in index.members}
    if unknown := sorted(set(members or ()) - set(names.values())):
        raise ConfigError(
            f"{store.where('')}: no member {', '.join(unknown)}; it has {', '.join(sorted(names.values())[:20])}"
        )
    if "?" in store.url:
        raise ConfigError(f"{store.where('')}: webdataset opens no URLs with a query; use open_shards")
    urls = [f"{store.url.rstrip('/')}/{shard.name}" for shard in index.splits[split].shards]
    wanted = None if members is None else {m for m, name in names.items() if name in members}
    split_by_worker = wds.split_by_worker
    data = wds.WebDataset(
        urls,
        shardshuffle=False,
        nodesplitter=wds.split_by_node,
        workersplitter=_Shuffled(len(urls), seed, split_by_worker) if shuffle else split_by_worker,
        select_files=None if wanted is None else functools.partial(_is_wanted, wanted=wanted),
        empty_check=False,  # a worker may be without a shard
        seed=seed,
    )
    if shuffle:
        data = data.compose(_Shuffled(shuffle, seed))
    data = data.decode(decoder).map(functools.partial(_named, names=names))
    if members is None:
        return data
    return data.select(functools.partial(_is_whole, members=members)).to_tuple(*members)


class _Shuffled:
    """A stage that draws in another order each time that the data is gone through.

    webdataset's own has the same order in every epoch where it is given a seed. Who goes through it knows which epoch it is:
    this process and a worker that stays count; one that is started anew for each has another seed from torch.
    """

    def __init__(self, size: int, seed: int, first: Callable[[Iterator[Any]], Iterator[Any]] | None = None) -> None:
        self._size, self._seed, self._first = size, seed, first
        self._epoch = 0

    def __call__(self, data: Iterator[Any]) -> Iterator[Any]:
        import webdataset as wds

        worker = get_worker_info()
        rng = random.Random(f"{self._seed} {worker.seed if worker else ''} {self._epoch}")
        self._epoch += 1
        found: Iterator[Any] = wds.filters.shuffle(self._size, rng=rng)(self._first(data) if self._first else data)
        return found


def _name(member: str) -> str:
    """What a member is called here: without its encoding."""
    return "meta" if member == META else member.removesuffix(f".{split_member(member).encoding}")


def _named(sample: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in sample.items() if key in names or key.startswith("__")}


def _is_wanted(file: str, wanted: Collection[str]) -> bool:
    return file.partition(".")[2] in wanted


def _is_whole(sample: Mapping[str, Any], members: Collection[str]) -> bool:
    return all(m in sample for m in members)
