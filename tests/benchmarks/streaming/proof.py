"""That what a contender delivered are the very tensors: its hashes against those of the samples themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xxhash

from tests.benchmarks.streaming import samples
from tests.benchmarks.streaming.pixels import Array

SEASONAL = ("s2", "s2_10m", "s2_20m", "s2_60m", "s1", "dynamicworld")
FACTORS = {"s2_20m": 2, "s2_60m": 6, "dem": 3}
"""10 m pixels to the side of a native one."""
CROPS = {"ten": 224, "nearest": 224, "bilinear": 224, "native": 228}


class WrongTensorsError(AssertionError):
    """A contender delivered something else: no figure of it means anything."""


def numbers(count: int) -> list[int]:
    """Of the samples whose tensors are hashed: a dozen over all shards."""
    return sorted({int(n) for n in np.linspace(0, count - 1, 12)})


def _truth(sample: samples.Sample, form: str) -> dict[str, Array]:
    if form == "ten":
        return sample.ten
    if form == "nearest":
        return {n: samples.nearest(a, FACTORS.get(n, 1)) for n, a in sample.native.items()}
    return sample.native


def _cut(name: str, array: Array, crop: tuple[int, int, int], size: int, factor: int) -> Array:
    season, y, x = crop
    chosen = array[season : season + 1] if name in SEASONAL else array
    y, x, size = y // factor, x // factor, size // factor
    return chosen[..., y : y + size, x : x + size]


def check(who: str, form: str, is_crop: bool, count: int, result: dict[str, Any]) -> None:
    """Compares everything that can be.

    Args:
        who: the contender, for the error.
        form: `ten`, `native`, `nearest`; of `bilinear` only count and keys are looked at, since rounding is the reader's.
        is_crop: whether it delivered crops.
        count: samples that there are.
        result: what its script printed.

    Raises:
        WrongTensorsError: samples are missing or twice, or a tensor is another.
    """
    if (result["keys"], result["delivered"]) != (count, count):
        raise WrongTensorsError(
            f"{who}: an epoch gave {result['delivered']} samples of {result['keys']} keys, expected each of {count} once"
        )
    found: dict[str, dict[str, Any]] = {p["key"]: p for p in result["proof"]}
    expected: Sequence[samples.Sample] = [samples.make(n) for n in numbers(count)]
    if missing := [s.key for s in expected if s.key not in found]:
        raise WrongTensorsError(f"{who}: no hashes of {missing}")
    for sample in expected if form != "bilinear" else ():
        got = found[sample.key]
        for name, array in _truth(sample, form).items():
            if is_crop:
                factor = FACTORS.get(name, 1) if form == "native" else 1
                array = _cut(name, array, tuple(got["crop"]), CROPS[form], factor)
            want = xxhash.xxh3_64_hexdigest(np.ascontiguousarray(array))
            if got["xxh3"].get(name) != want:
                raise WrongTensorsError(
                    f"{who}: {sample.key} {name}{array.shape}: xxh3 {got['xxh3'].get(name)}, expected {want}: the "
                    "contenders do not deliver the same tensors, so their rates cannot be compared"
                )
        if extra := set(got["xxh3"]) - set(_truth(sample, form)):
            raise WrongTensorsError(f"{who}: also delivers {sorted(extra)}, which the others do not")
