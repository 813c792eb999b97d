"""Other readers, as their documentation shows them and at their best settings: `python peers.py URL LAYOUT COUNT NAME`."""

from __future__ import annotations

import datetime as dt
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import harness
import scene
from harness import Patch, Place

os.environ |= {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_CACHEMAX": "256",
}


def item(url: str):
    """The scene as a STAC item."""
    import pystac

    west, south, east, north = 7.5, 50.4, 9.2, 51.5
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    found = pystac.Item(
        "scene",
        {"type": "Polygon", "coordinates": [ring]},
        [west, south, east, north],
        dt.datetime(2021, 7, 1, tzinfo=dt.UTC),
        {"proj:epsg": scene.EPSG, "proj:code": f"EPSG:{scene.EPSG}"},
        stac_extensions=["https://stac-extensions.github.io/projection/v1.1.0/schema.json"],
        collection="s2",
    )
    for band, res in scene.BANDS.items():
        side = scene.SIDE_M // res
        proj = {
            "proj:shape": [side, side],
            "proj:transform": [res, 0, scene.WEST, 0, -res, scene.NORTH],
        }
        found.add_asset(
            band,
            pystac.Asset(f"{url}/{band}.tif", media_type=pystac.MediaType.COG, roles=["data"], extra_fields=proj),
        )
    return found


def groups() -> dict[int, list[str]]:
    """Pixel size → bands."""
    return {r: [b for b, res in scene.BANDS.items() if res == r] for r in (10, 20, 60)}


def odc_stac(url: str, places: list[Place], pool: int | None = None) -> Iterator[tuple[Place, Patch]]:
    """`odc.stac.load` per patch and resolution."""
    import odc.stac
    from affine import Affine
    from odc.geo.geobox import GeoBox

    items = [item(url)]
    for col, row in places:
        patch = {}
        for res, bands in groups().items():
            n = scene.SIZE_M // res
            where = Affine(res, 0, scene.WEST + 10 * col, 0, -res, scene.NORTH - 10 * row)
            box = GeoBox((n, n), where, f"EPSG:{scene.EPSG}")
            data = odc.stac.load(items, bands=bands, geobox=box, **({"pool": pool} if pool else {}))
            patch |= {b: data[b].values[0] for b in bands}
        yield (col, row), patch


def stackstac(url: str, places: list[Place]) -> Iterator[tuple[Place, Patch]]:
    """`stackstac.stack` per patch and resolution, computed by Dask's threads."""
    import dask
    import numpy as np
    import stackstac

    items = [item(url).to_dict()]
    with dask.config.set(scheduler="threads", num_workers=12):
        for col, row in places:
            x, y = scene.WEST + 10 * col, scene.NORTH - 10 * row
            patch = {}
            for res, bands in groups().items():
                data = stackstac.stack(
                    items, assets=bands, bounds=(x, y - scene.SIZE_M, x + scene.SIZE_M, y), resolution=res,
                    epsg=scene.EPSG, dtype="uint16", fill_value=np.uint16(0), rescale=False,
                ).compute()  # fmt: skip
                patch |= {b: data.values[0, i] for i, b in enumerate(bands)}
            yield (col, row), patch


def rioxarray(url: str, places: list[Place]) -> Iterator[tuple[Place, Patch]]:
    """`rioxarray.open_rasterio`, a file per band kept open."""
    import rioxarray as rio

    files = {b: rio.open_rasterio(f"{url}/{b}.tif", cache=False) for b in scene.BANDS}
    for col, row in places:
        patch = {}
        for band, res in scene.BANDS.items():
            c, r, n = col * 10 // res, row * 10 // res, scene.SIZE_M // res
            patch[band] = files[band].isel(band=0, x=slice(c, c + n), y=slice(r, r + n)).values
        yield (col, row), patch


def threads(url: str, places: list[Place]) -> Iterator[tuple[Place, Patch]]:
    """rasterio, a thread and an open file per band: the bands of a patch at a time."""
    import rasterio
    from rasterio.windows import Window

    own = threading.local()

    def one(job: tuple[str, int, int]):
        band, col, row = job
        files = own.__dict__.setdefault("files", {})
        if band not in files:
            files[band] = rasterio.open(f"{url}/{band}.tif")
        res = scene.BANDS[band]
        n = scene.SIZE_M // res
        return files[band].read(1, window=Window(col * 10 // res, row * 10 // res, n, n))

    pools = {b: ThreadPoolExecutor(1) for b in scene.BANDS}
    for col, row in places:
        asked = {b: pools[b].submit(one, (b, col, row)) for b in scene.BANDS}
        yield (col, row), {b: f.result() for b, f in asked.items()}


def in_loop(url: str, places: list[Place], patches: int = 8) -> Iterator[tuple[Place, Patch]]:
    """async-geotiff, a file per band kept open: so many patches at a time in an event loop of a thread of its own."""
    import asyncio

    from async_geotiff import GeoTIFF, Window
    from obstore.store import HTTPStore

    store = HTTPStore(url, client_options={"allow_http": True})
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def opened() -> dict[str, GeoTIFF]:
        found = await asyncio.gather(*(GeoTIFF.open(f"{band}.tif", store=store) for band in scene.BANDS))
        return dict(zip(scene.BANDS, found, strict=True))

    async def patch(files: dict[str, GeoTIFF], place: Place) -> Patch:
        async def one(band: str, res: int):
            n = scene.SIZE_M // res
            window = Window(col_off=place[0] * 10 // res, row_off=place[1] * 10 // res, width=n, height=n)
            return (await files[band].read(window=window)).data[0]

        found = await asyncio.gather(*(one(b, r) for b, r in scene.BANDS.items()))
        return dict(zip(scene.BANDS, found, strict=True))

    def asked(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop)

    files = asked(opened()).result()
    ahead = [asked(patch(files, place)) for place in places[:patches]]
    for i, place in enumerate(places):
        yield place, ahead.pop(0).result()
        if i + patches < len(places):
            ahead.append(asked(patch(files, places[i + patches])))


READERS = {
    "async-geotiff, 8 patches": in_loop,
    "odc-stac": odc_stac,
    "odc-stac, pool 12": lambda u, p: odc_stac(u, p, 12),
    "stackstac, 12 threads": stackstac,
    "rioxarray": rioxarray,
    "rasterio, 12 threads": threads,
}


def read(url: str, places: list[Place]) -> Iterable[tuple[Place, Patch]]:
    """All places, by the reader named."""
    return READERS[sys.argv[4]](url, places)


if __name__ == "__main__":
    harness.main(read)
