"""Real pixels for the streaming benchmarks, from the folder of recordings that `CURATION_SHARED` names.

Units as the shards have them: Sentinel-2 L2A reflectance × 10,000, uint16; radar in hundredths of a dB, int16; heights in
metres, float32; class codes, uint8. What the files hold instead, and what is done about it:

- `terramind` (TerraMesh): S2L2A is int16 at 10 m, where 20 and 60 m bands are repeated (nearest), so that every 2nd or 6th
  pixel is the native one. S1RTC is dB as float64 that once was float16: between −16 and −32 dB its steps are 0.0156 dB,
  coarser than a hundredth, which would flatter a codec; a uniform dither of one step undoes that. One date per place.
- `bigearthnet-common`: S2 uint16 in native resolutions, 120 px at 10 m; S1 in dB, float32.
- `real-archive-belgium`: S2 uint16 and SCL, 64 px at 10 m; S1 linear power, float32, NaN or ≤ 0 outside the swath.
- `dem-stitcher`: Copernicus GLO-30, float32.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

Array = NDArray[Any]

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""Sentinel-2 in the order of TerraMesh and of the tensors that are delivered."""
GROUPS = {10: ("B02", "B03", "B04", "B08"), 20: ("B05", "B06", "B07", "B8A", "B11", "B12"), 60: ("B01", "B09")}
"""Native resolution in metres → bands."""
RADAR_NODATA = -32768


def shared() -> Path:
    """The folder of recordings. Raises FileNotFoundError that says how to name it."""
    folder = Path(os.environ.get("CURATION_SHARED", "../shared")) / "data"
    if not (folder / "terramind").is_dir():
        raise FileNotFoundError(
            f"{folder / 'terramind'}: no such folder; these benchmarks need real pixels: set CURATION_SHARED to the folder "
            "that holds data/terramind"
        )
    return folder


def read(path: Path) -> Array:
    """(band, y, x) as the file stores it."""
    with rasterio.open(path) as file:
        pixels: Array = file.read()
        return pixels


def native(repeated: Array, res_m: int) -> Array:
    """The bands' native pixels out of a grid at 10 m on which they were repeated."""
    step = res_m // 10
    return repeated[:, ::step, ::step]


def centidb(decibel: Array) -> Array:
    """Hundredths of a dB, int16; what is not finite becomes nodata."""
    values = np.rint(np.where(np.isfinite(decibel), decibel, 0) * 100)
    return np.where(np.isfinite(decibel), np.clip(values, -32767, 32767), RADAR_NODATA).astype(np.int16)


def undithered(decibel: Array, rng: np.random.Generator) -> Array:
    """The values with the steps of their former float16 filled uniformly."""
    half = decibel.astype(np.float16)
    step = np.spacing(np.abs(half)).astype(np.float64)
    return decibel + step * (rng.random(decibel.shape) - 0.5)


def terramind() -> list[dict[str, Array]]:
    """Per place: `s2` {12, y, x} uint16 with repeated bands, `s1` {2, y, x} dB, `dem` {1, y, x}, `classes` {1, y, x}."""
    folder, rng = shared() / "terramind", np.random.default_rng(0)
    return [
        {
            "s2": read(path).astype(np.uint16),
            "s1": undithered(read(folder / "S1RTC" / path.name), rng),
            "dem": read(folder / "DEM" / path.name).astype(np.float32),
            "classes": read(folder / "LULC" / path.name).astype(np.uint8),
        }
        for path in sorted((folder / "S2L2A").glob("*.tif"))
    ]


def montage(patches: list[Array], columns: int) -> Array:
    """Equal patches side by side, as many whole rows as there are: members of a realistic size out of small files."""
    rows = [np.concatenate(patches[i : i + columns], axis=2) for i in range(0, len(patches) - columns + 1, columns)]
    return np.concatenate(rows, axis=1)


def for_codecs() -> Iterator[tuple[str, str, Array]]:
    """(kind of array, origin, pixels (band, y, x)): what the codecs are tried on."""
    for place in terramind():
        for res, names in GROUPS.items():
            picked = place["s2"][[BANDS.index(b) for b in names]]
            yield f"s2 {res} m", "terramind", np.ascontiguousarray(native(picked, res))
        yield "s1 centi-dB", "terramind", centidb(place["s1"])
        yield "classes", "terramind", place["classes"]
    yield from _bigearthnet(shared() / "bigearthnet-common")
    yield from _belgium(shared() / "real-archive-belgium")
    for path in sorted((shared() / "dem-stitcher" / "golden_datasets").glob("*_dem_geoid.tif")):
        height = read(path)
        for y in range(0, 264, 88):  # as large as a member: 88 px at 30 m
            yield "dem float32", "dem-stitcher", np.ascontiguousarray(height[:, y : y + 88, 100:188])


def _bigearthnet(folder: Path) -> Iterator[tuple[str, str, Array]]:
    scenes = sorted((folder / "BigEarthNet-S2-Example").iterdir())
    for res, names in GROUPS.items():
        patches = [np.concatenate([read(s / f"{s.name}_{b}.tif") for b in names]) for s in scenes]
        yield f"s2 {res} m", "bigearthnet", montage(patches, 3)
    passes = sorted((folder / "BigEarthNet-S1-Example").iterdir())
    patches = [np.concatenate([read(s / f"{s.name}_{p}.tif") for p in ("VV", "VH")]) for s in passes]
    yield "s1 centi-dB", "bigearthnet", centidb(montage(patches, 3))


def _belgium(folder: Path) -> Iterator[tuple[str, str, Array]]:
    scenes = sorted((folder / "sentinel-2-l2a").iterdir())[::7][:16]
    for res, names in list(GROUPS.items())[:2]:
        patches = [np.concatenate([read(s / f"{b}_{res}m.tif") for b in names]) for s in scenes]
        yield f"s2 {res} m", "belgium", montage(patches, 4)
    yield "classes", "belgium", montage([read(s / "SCL_20m.tif") for s in scenes], 4)
    passes = sorted((folder / "sentinel-1-rtc").iterdir())[::10][:16]
    power = montage([np.concatenate([read(s / f"{p}.tif") for p in ("vv", "vh")]) for s in passes], 4)
    with np.errstate(divide="ignore", invalid="ignore"):
        yield "s1 centi-dB", "belgium", centidb(10 * np.log10(np.where(power > 0, power, np.nan)))
