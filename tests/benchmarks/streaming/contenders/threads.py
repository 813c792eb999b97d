"""SPDL: a pipeline of threads over the plain tars, each mapped into memory, whose members no process has to be sent."""

from __future__ import annotations

import io
import mmap
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
import torch
from harness import Batch, Options
from spdl.pipeline import PipelineBuilder


class _Member(NamedTuple):
    """A `.npy` file within a tar."""

    name: str
    offset: int
    size: int


class _Sample(NamedTuple):
    """Where one sample lies."""

    key: str
    data: mmap.mmap
    members: list[_Member]


def _samples(paths: list[Path]) -> Iterator[_Sample]:
    for path in paths:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with tarfile.open(path) as tar:
            members: list[_Member] = []
            for its in tar:
                key, _, suffix = its.name.partition(".")
                if suffix.endswith("npy"):
                    members.append(_Member(suffix.removesuffix(".npy"), its.offset_data, its.size))
                else:  # the last member of a sample
                    yield _Sample(key, data, members)
                    members = []


def _array(data: mmap.mmap, member: _Member) -> np.ndarray[Any, Any]:
    """The pixels where they lie in the map; only the header is read as a file."""
    head = io.BytesIO(data[member.offset : member.offset + 256])
    np.lib.format.read_magic(head)
    shape, _, dtype = np.lib.format.read_array_header_1_0(head)
    return np.frombuffer(data, dtype, int(np.prod(shape)), member.offset + head.tell()).reshape(shape)


class _Batches:
    """Some samples → one batch, copied once."""

    def __init__(self, options: Options) -> None:
        self._crop = options.crop

    def __call__(self, samples: list[_Sample]) -> Batch:
        found, crops = [], []
        for its in samples:
            arrays = {m.name: _array(its.data, m) for m in its.members}
            if self._crop:
                arrays, crop = harness.cropped(arrays)
                crops.append(crop)
            found.append(arrays)
        tensors = {}
        for name in harness.NAMES:
            first = found[0][name]
            batch = torch.empty((len(found), *first.shape), dtype=torch.from_numpy(first[:0]).dtype)
            for into, arrays in zip(batch.numpy(), found, strict=True):
                np.copyto(into, arrays[name])
            tensors[name] = batch
        return [its.key for its in samples], tensors, crops or None


class _Epochs:
    """A pipeline is of one epoch."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def __iter__(self) -> Iterator[Batch]:
        threads = max(self._options.workers, 1)
        pipeline = (
            PipelineBuilder()
            .add_source(_samples(harness.tars(Path(self._options.at))))
            .aggregate(self._options.batch)
            .pipe(_Batches(self._options), concurrency=threads, output_order="input")
            .add_sink(2)
            .build(num_threads=threads)
        )
        with pipeline.auto_stop():
            yield from pipeline.get_iterator()


def loader(options: Options) -> Iterable[Batch]:
    """Batches made in so many threads as others have workers."""
    return _Epochs(options)


def write(source: Path, folder: Path, variant: str) -> None:
    """Nothing: the plain tars are read."""
    raise SystemExit("the layout is the source itself")


if __name__ == "__main__":
    harness.main(write, loader)
