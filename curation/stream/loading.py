"""How samples are dealt and read, whatever they are samples of: what `open_shards` and `open_mix` are both told."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from curation.errors import ConfigError
from curation.stream.cache import DiskCache
from curation.stream.fetch import Remote
from curation.stream.layout import DTYPES
from curation.stream.plan import Remainder
from curation.stream.ranks import Ranks
from curation.stream.reading import Check

Transform = Callable[[dict[str, Any]], Any]

_LONGEST_S = 86_400.0
"""That a server may take: the system counts time-outs in numbers of bounded size."""


@dataclass(frozen=True, slots=True)
class Loading:
    """Each as `open_shards` says of its argument, after it was looked at."""

    seed: int
    dtype: torch.dtype | None
    mix_shards: int | None
    remainder: Remainder
    transform: Transform | None
    check: Check
    threads: int | None
    ranks: Ranks
    """Of `rank` and `world_size`."""
    remote: Remote
    """Of `cache_dir`, `cache_gb`, `retries` and `timeout_s`."""

    @classmethod
    def of(
        cls,
        *,
        seed: int,
        dtype: torch.dtype | None,
        mix_shards: int | None,
        remainder: Remainder,
        transform: Transform | None,
        check: Check,
        threads: int | None,
        rank: int | None,
        world_size: int | None,
        cache_dir: str | Path | None,
        cache_gb: float | None,
        retries: int,
        timeout_s: float,
    ) -> Loading:
        """What was asked for. Raises ConfigError that names the argument, and what is allowed."""
        one_of("check", check, get_args(Check))
        one_of("remainder", remainder, get_args(Remainder))
        if dtype not in (None, *DTYPES):
            raise ConfigError(f"dtype = {dtype}: expected one of {', '.join(map(str, DTYPES))}, or None")
        if not -(2**63) <= seed < 2**63:
            raise ConfigError(f"seed = {seed}: expected a whole number of 64 bits, signed")
        check_counts(mix_shards=mix_shards, threads=threads)
        return cls(
            seed=operator.index(seed),
            dtype=dtype,
            mix_shards=mix_shards,
            remainder=remainder,
            transform=transform,
            check=check,
            threads=threads,
            ranks=Ranks(rank, world_size),
            remote=_remote(cache_dir, cache_gb, retries, timeout_s),
        )


def _remote(cache_dir: str | Path | None, cache_gb: float | None, retries: int, timeout_s: float) -> Remote:
    if (cache_dir is None) != (cache_gb is None):
        raise ConfigError(f"cache_dir = {cache_dir}, cache_gb = {cache_gb}: give both, or neither to keep nothing")
    if cache_gb is not None and not 0 < cache_gb < math.inf:
        raise ConfigError(f"cache_gb = {cache_gb}: expected > 0, and not without end")
    if not isinstance(retries, int | np.integer) or retries < 0:
        raise ConfigError(f"retries = {retries}: expected ≥ 0, and a whole number")
    if not 0 < timeout_s <= _LONGEST_S:
        raise ConfigError(f"timeout_s = {timeout_s}: expected > 0, and at most {_LONGEST_S:.0f} (a day)")
    cache = (
        None if cache_dir is None or cache_gb is None else DiskCache(Path(cache_dir).absolute(), int(cache_gb * 1e9))
    )
    return Remote(cache, retries, read_s=timeout_s)


def one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Passes where a value is one of those allowed. Raises ConfigError that lists them where it is not."""
    if value not in allowed:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(map(str, allowed))}")


def check_names(what: str, names: object, known: Iterable[str] = ()) -> None:
    """Passes where names can be a list of some. Raises ConfigError that says what is expected, `known` where given."""
    if isinstance(names, str):
        raise ConfigError(f"{what} = {names!r}: expected a list of names, such as [{names!r}]")
    if not isinstance(names, Iterable):
        some = ", ".join(known)
        raise ConfigError(f"{what} = {names!r}: expected a list of names{some and f', some of: {some}'}")


def check_counts(**counts: int | None) -> None:
    """Passes where each is a number of something, or None. Raises ConfigError that names the one that is not."""
    for name, value in counts.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
            raise ConfigError(f"{name} = {value!r}: expected ≥ 1, or None, and a whole number")
