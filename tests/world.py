"""A tiny world with known answers: a STAC ItemCollection of small local rasters whose pixels follow from their own place.

One Sentinel-2 grid in UTM 32N, 600 x 600 px at 10 m with its north-west corner at (355500, 6035940), in the German Bight:
where its DEM ends there is sea. Locations are 48 px
squares on a 5 x 5 lattice: row 0 lies north, column 0 west; `name(row, col)` is a location's id. What must become of each
is written beside each scene below.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer

from curation.model import iso

EPSG, X0, Y0, SIDE_PX = 32632, 355_500, 6_035_940, 600
SIZE_M, STEP_M, LATTICE = 480, 1_080, 5
BANDS = {10: ["B02", "B03", "B04", "B08"], 20: ["B05", "B06", "B07", "B8A", "B11", "B12"], 60: ["B01", "B09"]}
ORDER = [b for bands in BANDS.values() for b in bands]

SUMMER = "summer = { start = 2021-06-01, end = 2021-09-01 }"


def recipe(title: str, sources: str, rest: str = "", *, seasons: str = SUMMER) -> str:
    """A recipe of places of a tiny world, in TOML, which ends with `rest`: other tables, or more keys of the last one."""
    return f"""
name = "tiny"
title = "{title}"
seed = 7

[grid]
size_m = {SIZE_M}

[places]
sampler = "file"
file = "places.csv"
regions = ["europe"]

[seasons]
{seasons}

[sources]
{sources}
{rest}"""


RECIPE = recipe(
    "A tiny world with known answers",
    """s2l2a = {}
s1rtc = {}
dem = {}
worldcover = { required = false }
dynamicworld = { required = false }
""",
    """[quality]
max_gap_days = 12

[labels]
annual = "worldcover"
seasonal = "dynamicworld"

[split]
val_fraction = 0.0

[cube]
slab_patches = 4

[pack]
samples_per_shard = 5
""",
    seasons=f"{SUMMER}\nautumn = {{ start = 2021-09-01, end = 2021-12-01 }}",
)


def corner(row: int, col: int) -> tuple[int, int]:
    """West and north edge of a location."""
    return X0 + 360 + col * STEP_M, Y0 - 360 - row * STEP_M


def name(row: int, col: int) -> str:
    x, y = corner(row, col)
    return f"utm32n-{x}-{y - SIZE_M}"


def dn(band: str, res_m: int, offset: int = 0) -> np.ndarray:
    """Digital numbers of a whole scene: they follow from band, column and row."""
    n = SIDE_PX * 10 // res_m
    row, col = np.mgrid[:n, :n]
    return (1_500 + 100 * ORDER.index(band) + (3 * col + 5 * row) % 700 + offset).astype("uint16")


def power(polarisation: int, shift: float = 0.0) -> np.ndarray:
    row, col = np.mgrid[:SIDE_PX, :SIDE_PX]
    return (0.05 + 0.01 * polarisation + 1e-4 * ((7 * col + 3 * row) % 311) + shift).astype("float32")


def crop(scene: np.ndarray, res_m: int, row: int, col: int) -> np.ndarray:
    """The pixels of a location in a scene."""
    x, y = corner(row, col)
    c, r, n = (x - X0) // res_m, (Y0 - y) // res_m, SIZE_M // res_m
    return scene[r : r + n, c : c + n]


_WRITTEN: dict[tuple[str, str], bytes] = {}
"""Files of rasters by their pixels and profile: many a test makes scenes of its own, and most are the same but for one."""


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def catalog(self) -> Path:
        return self.folder / "items.json"

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.toml"

    def raster(self, path: str, pixels: np.ndarray, transform: Affine, crs: str, **options: Any) -> str:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        profile = {"driver": "GTiff", "height": pixels.shape[0], "width": pixels.shape[1], "count": 1}
        profile |= {"dtype": pixels.dtype.name, "crs": crs, "transform": transform, "tiled": True}
        profile |= {"blockxsize": 256, "blockysize": 256, "compress": "deflate"} | options
        what = hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest(), repr(sorted(profile.items()))
        if what in _WRITTEN:
            target.write_bytes(_WRITTEN[what])
            return path
        with rasterio.open(target, "w", **profile) as file:
            file.write(pixels, 1)
        _WRITTEN[what] = target.read_bytes()
        return path

    def item(
        self, collection: str, item: str, when: dt.datetime, footprint: Any, assets: Any, **properties: Any
    ) -> None:
        self.items.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": item,
                "collection": collection,
                "geometry": shapely.geometry.mapping(footprint),
                "bbox": list(footprint.bounds),
                "properties": {"datetime": iso(when)} | {k.replace("__", ":"): v for k, v in properties.items()},
                "links": [],
                "assets": {k: {"href": v} for k, v in assets.items()},
            }
        )

    def s2(
        self, day: str, baseline: str, cloud: np.ndarray | None = None, *, east_m: int = 6_000, cloud_pct: float = 1.0
    ) -> None:
        when = dt.datetime.fromisoformat(f"{day}T10:30:00+00:00")
        item = f"S2A_MSIL2A_{when:%Y%m%dT%H%M%S}_N{baseline.replace('.', '')}_T32ULC"
        offset = 1_000 if float(baseline) >= 4 else 0
        assets = {}
        for res_m, bands in BANDS.items():
            for band in bands:
                pixels = dn(band, res_m, offset)
                pixels[:, east_m // res_m :] = 0
                assets[band] = self.raster(f"s2/{item}/{band}.tif", pixels, _at(res_m), f"EPSG:{EPSG}")
        scl = np.full((SIDE_PX // 2, SIDE_PX // 2), 4, "uint8")
        if cloud is not None:
            scl[cloud] = 9
        scl[:, east_m // 20 :] = 0
        assets["SCL"] = self.raster(f"s2/{item}/SCL.tif", scl, _at(20), f"EPSG:{EPSG}")
        properties = {"s2__processing_baseline": baseline, "s2__mgrs_tile": "32ULC", "s2__datatake_id": f"GS2A_{day}"}
        footprint = _footprint(X0, Y0 - 6_000, X0 + east_m, Y0)
        more = {"eo__cloud_cover": cloud_pct, "proj__epsg": EPSG, "platform": "Sentinel-2A"}
        self.item("sentinel-2-l2a", item, when, footprint, assets, **properties, **more)

    def s1(self, day: str, direction: str, *, south_m: int = 6_000, zeros_m: int = 0) -> None:
        when = dt.datetime.fromisoformat(f"{day}T05:50:00+00:00")
        item, rows = f"S1A_IW_GRDH_{when:%Y%m%dT%H%M%S}_{direction[:4]}", south_m // 10
        assets = {}
        for n, band in enumerate(("vv", "vh")):
            pixels = power(n)[:rows]
            if zeros_m:
                pixels[-zeros_m // 10 :] = 0
            assets[band] = self.raster(f"s1/{item}/{band}.tif", pixels, _at(10), f"EPSG:{EPSG}", nodata=-32768)
        more = {"sat__orbit_state": direction, "sat__relative_orbit": 37, "sar__instrument_mode": "IW"}
        footprint = _footprint(X0, Y0 - south_m, X0 + 6_000, Y0)
        self.item("sentinel-1-rtc", item, when, footprint, assets, proj__epsg=EPSG, platform="SENTINEL-1A", **more)

    def maps(self) -> None:
        """DEM over the western part only (the rest is sea), WorldCover, and Dynamic World of one summer acquisition."""
        when = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
        west, south, east, north = _footprint(X0, Y0 - 6_000, X0 + 6_000, Y0).buffer(0.01).bounds
        middle = west + (east - west) * 0.7
        res = 1 / 3600
        shape = (round((north - south) / res), round((middle - west) / res))
        transform = Affine(res, 0, west, 0, -res, north)
        heights = np.full(shape, 123.0, "float32")
        box = shapely.box(west, north - shape[0] * res, west + shape[1] * res, north)
        href = self.raster("dem/height.tif", heights, transform, "EPSG:4326")
        self.item("cop-dem-glo-30", "dem", when, box, {"data": href})
        res = 1 / 12_000
        shape = (round((north - south) / res), round((east - west) / res))
        codes = np.full(shape, 10, "uint8")
        codes[:, shape[1] // 2 :] = 40
        href = self.raster("wc/map.tif", codes, Affine(res, 0, west, 0, -res, north), "EPSG:4326", nodata=0)
        more = {"esa_worldcover__product_version": "2.0.0"}
        self.item("esa-worldcover", "wc", when, shapely.box(west, south, east, north), {"map": href}, **more)
        when = dt.datetime(2021, 7, 10, 10, 30, tzinfo=dt.UTC)
        labels = np.full((SIDE_PX, SIDE_PX), 255, "uint8")
        labels[: SIDE_PX // 2] = 1  # trees north; the south is a gap
        labels[: SIDE_PX // 2, ::4] = 4
        href = self.raster("dw/label.tif", labels, _at(10), f"EPSG:{EPSG}", nodata=255)
        footprint = _footprint(X0, Y0 - 6_000, X0 + 6_000, Y0)
        more = {"s2__datatake_id": "GS2A_2021-07-10", "s2__mgrs_tile": "32ULC", "proj__epsg": EPSG}
        self.item("dynamicworld", "dw", when, footprint, {"label": href}, **more)

    def from_afar(self, folder: Path) -> World:
        """The same world told from another folder: hrefs are whole, and the recipe lets them lead here."""
        made = World(folder)
        made.items = json.loads(self.catalog.read_text())["features"]
        for item in made.items:
            for asset in item["assets"].values():
                asset["href"] = str(self.folder / asset["href"])
        made.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": made.items}))
        made.recipe.write_text(f"{self.recipe.read_text()}\n[search]\nlocal = [{json.dumps(str(self.folder))}]\n")
        (folder / "places.csv").write_bytes((self.folder / "places.csv").read_bytes())
        return made

    def write(self) -> None:
        self.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": self.items}))
        self.recipe.write_text(RECIPE)
        lines = [f"{x},{y},{EPSG}" for r in range(LATTICE) for c in range(LATTICE) for x, y in [corner(r, c)]]
        (self.folder / "places.csv").write_text("\n".join(["x0_m,y0_m,epsg", *lines]) + "\n")


def _at(res_m: int) -> Affine:
    return Affine(res_m, 0, X0, 0, -res_m, Y0)


def _footprint(west: float, south: float, east: float, north: float) -> shapely.Polygon:
    to_lonlat = Transformer.from_crs(EPSG, 4326, always_xy=True)
    ring = shapely.segmentize(shapely.box(west, south, east, north), 500)
    return shapely.transform(ring, lambda c: np.column_stack(to_lonlat.transform(c[:, 0], c[:, 1])))


def make(folder: Path) -> World:
    """The world. Summer: everything in column 4 is `partial_coverage`, (0, 3) is `cloudy`, row 4 is `nodata` (radar zeros),
    the rest is ok. Autumn: rows 0 and 1 are ok, the others are `time_gap`; column 4 is `partial_coverage`."""
    world = World(folder)
    x, y = corner(0, 3)
    cloud = np.zeros((SIDE_PX // 2, SIDE_PX // 2), bool)
    cloud[(Y0 - y) // 20 : (Y0 - y + SIZE_M) // 20, (x - X0) // 20 : (x - X0 + SIZE_M) // 20] = True
    west = np.zeros_like(cloud)
    west[:, : SIDE_PX // 4] = True
    east_m = corner(0, 4)[0] - X0 + SIZE_M // 2  # the swath ends in the middle of column 4
    # Clear but for the corner; the newest baseline of its acquisition is used.
    world.s2("2021-07-10", "05.00", cloud, east_m=east_m, cloud_pct=2.0)
    world.s2("2021-07-10", "03.01", cloud, east_m=east_m, cloud_pct=2.0)
    # Better by its scene's cloud cover and nearer to the anchor, but cloudy over the west half: passed over there.
    world.s2("2021-07-16", "03.01", west | cloud, east_m=east_m, cloud_pct=1.0)
    world.s1("2021-07-12", "ascending", zeros_m=6_000 - (Y0 - corner(4, 0)[1]))
    world.s1("2021-07-11", "descending", south_m=3_000)  # nearer in time, of the direction that serves fewer places
    world.s2("2021-10-10", "05.00", east_m=east_m)
    world.s1("2021-10-12", "ascending", south_m=corner(1, 0)[1] * -1 + Y0 + SIZE_M + 60)
    world.s1("2021-11-20", "ascending")
    world.maps()
    world.write()
    return world
