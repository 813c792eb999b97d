"""Stock webdataset: `npy`, `zarr` (a Zarr 2 group in a zip per modality, as SSL4EO-S12 v1.1), `tif` (TIFF, deflate
and horizontal differences, a page per band; tifffile, the fastest reader, without the tags that place it)."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import torch
import webdataset
from harness import Batch, Options
from torch.utils.data import default_collate

if TYPE_CHECKING:
    import zarr


def _zarr(array: np.ndarray[Any, Any]) -> bytes:
    import zarr
    from numcodecs import Blosc

    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        with zarr.ZipStore(file.name, mode="w") as store:
            chunks = (
                (1, *array.shape[1:]) if array.ndim == 4 else array.shape
            )  # by season, so that a crop could be cheap
            codec = Blosc("lz4", 5, Blosc.SHUFFLE)  # Zarr 2's own default
            zarr.group(store).create_dataset("bands", data=array, chunks=chunks, compressor=codec)
            zarr.consolidate_metadata(store)
        return Path(file.name).read_bytes()


def _from_zarr(data: bytes) -> zarr.Array:
    """As TerraMesh's loader opens such a member: nothing is decoded yet."""
    import fsspec
    import zarr

    files = fsspec.filesystem("zip", fo=io.BytesIO(data), block_size=None).get_mapper("")
    return zarr.open_consolidated(files, mode="r")["bands"]


def _tif(array: np.ndarray[Any, Any]) -> bytes:
    import tifffile

    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        for plane in array.reshape(-1, *array.shape[-2:]):
            how: dict[str, Any] = {"compression": "deflate", "predictor": array.dtype.itemsize == 2}
            file.write(plane, photometric="minisblack", rowsperstrip=264, metadata=None, **how)
    return out.getvalue()


def _from_tif(data: bytes, *shape: int) -> np.ndarray[Any, Any]:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return file.asarray(key=slice(None), maxworkers=1).reshape(shape)


SHAPES = {"s2": (4, 12, 264, 264), "s1": (4, 2, 264, 264), "dynamicworld": (4, 1, 264, 264)}
SUFFIX = {"npy": "npy", "zarr": "zarr.zip", "tif": "tif"}


def write(source: Path, folder: Path, variant: str) -> None:
    """The same tars with members of the variant's kind; `npy` is the source itself."""
    encode = {"zarr": _zarr, "tif": _tif}[variant]
    for path in sorted(source.glob("*.tar")):
        with tarfile.open(path) as old, tarfile.open(folder / path.name, "w", format=tarfile.USTAR_FORMAT) as new:
            for member in old:
                file = old.extractfile(member)
                body = file.read() if file else b""
                if member.name.endswith(".npy"):
                    member.name = member.name.removesuffix("npy") + SUFFIX[variant]
                    body = encode(np.load(io.BytesIO(body)))
                    member.size = len(body)
                new.addfile(member, io.BytesIO(body))


class _Prepare:
    """A decoded sample → (key, arrays, JSON, crop)."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def __call__(self, sample: dict[str, Any]) -> tuple[str, dict[str, Any], tuple[int, int, int] | None]:
        suffix = SUFFIX[self.options.variant]
        arrays = {n: sample[f"{n}.{suffix}"] for n in harness.NAMES}
        if self.options.variant == "zarr":
            arrays = {n: _from_zarr(a) for n, a in arrays.items()}
            if not self.options.crop:
                arrays = {n: a[:] for n, a in arrays.items()}
        elif self.options.variant == "tif":
            arrays = {n: _from_tif(a, *SHAPES.get(n, (1, 264, 264))) for n, a in arrays.items()}
        crop = None
        if self.options.crop:
            arrays, crop = harness.cropped(arrays)
        return sample["__key__"], {n: torch.from_numpy(a) for n, a in arrays.items()}, crop


def _collate(samples: list[Any]) -> Batch:
    keys, arrays, crops = zip(*samples, strict=True)
    return list(keys), default_collate(list(arrays)), None if crops[0] is None else list(crops)


def loader(options: Options) -> Iterable[Batch]:
    """Batches made in the workers, by torch's own collation straight into shared memory."""
    if "://" in options.at:
        # curl, as webdataset's documentation has it
        urls = [f"pipe:curl -s -f {options.at}/{n}" for n in _shards_behind(options.at)]
    else:
        urls = sorted(str(p) for p in Path(options.at).glob("*.tar"))
    data = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False, nodesplitter=None)
    # Stock decoding of .npy and .json; what it does not know stays bytes.
    data = data.decode().map(_Prepare(options))
    data = data.batched(options.batch, collation_fn=_collate, partial=True)
    return webdataset.WebLoader(
        data, batch_size=None, num_workers=options.workers, persistent_workers=options.workers > 0
    )


def _shards_behind(url: str) -> Iterator[str]:
    import urllib.request

    with urllib.request.urlopen(f"{url}/shards.json") as answer:
        yield from json.load(answer)


if __name__ == "__main__":
    harness.main(write, loader)
