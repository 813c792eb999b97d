"""STAC collections and items of the archive, in the form that the Planetary Computer gives them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import shapely

from curation.embedded.archive import aerial, landsat
from curation.embedded.archive.archive import Key
from curation.embedded.archive.scenes import (
    SENSING_S,
    Scene1,
    Scene2,
    dynamicworld_scenes,
    footprint,
    s1_scenes,
    s2_scenes,
    swath,
)
from curation.embedded.sensors import oli, radar, static
from curation.embedded.service.swathitems import EXTENSIONS, feature, swath_items
from curation.embedded.world import cells, clouds, tables
from curation.embedded.world.grids import Grid

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
Json = dict[str, Any]

_TABLE = tables.beside(__file__)


def all_items() -> list[Json]:
    """Every item; hrefs are relative to the archive's root, links are the API's to add."""
    out = [_sentinel2(s) for s in (*s2_scenes(), *cells.s2_scenes())]
    out += [_sentinel1(s) for s in (*s1_scenes(), *cells.s1_scenes())]
    out += [_dynamicworld(s) for s in dynamicworld_scenes()]
    out += [_elevation(p) for p in (*static.elevation_products(), *static.world_elevation())]
    out += [_worldcover(p) for p in static.worldcover_products()]
    out += [_landsat(s) for s in landsat.landsat_scenes()]
    out += [_aerial(s) for s in aerial.sheets()]
    return out + swath_items()


def all_collections(items: list[Json]) -> list[Json]:
    """Every collection, its extent that of its items."""
    return [_collection(name, [i for i in items if i["collection"] == name]) for name in _TABLE]


def _item(collection: str, name: str, shape: shapely.Polygon | shapely.MultiPolygon, **values: Any) -> Json:
    """An item of the form that the table has for its collection, the places filled with `values`."""
    form = tables.filled(_TABLE[collection], **values)
    common = {"type": COG, "roles": ["data"]}
    assets = {k: {"href": Key(collection, name, k).path} | common | a for k, a in form["assets"].items()}
    return feature(collection, name, shape, form, assets)


def _affine(grid: Grid) -> list[float]:
    return [float(v) for v in tuple(grid.transform)[:6]]


def _sensed(scene: Scene2) -> dt.datetime:
    return scene.time + dt.timedelta(milliseconds=24)


def _with_grids(item: Json, grid: Grid) -> Json:
    """The item, each of its assets with the grid of its own pixel size; `grid` is that of 10 m."""
    for asset in item["assets"].values():
        own = grid.coarser(int(asset["gsd"]) // 10)
        asset["proj:bbox"], asset["proj:shape"] = list(own.bounds), [own.height, own.width]
        asset["proj:transform"] = _affine(own)
    return item


def _nodata_pct(scene: Scene1 | Scene2) -> float:
    return round(100 * (1 - swath(scene).area / shapely.box(*scene.grid.bounds).area), 6)


def _sentinel2(scene: Scene2) -> Json:
    zenith, azimuth = clouds.sun(scene)
    item = _item(
        "sentinel-2-l2a",
        scene.id,
        footprint(scene),
        scene=scene,
        sensed=_sensed(scene),
        baseline=scene.baseline.replace(".", ""),
        cloud_pct=round(100 * clouds.covered_share(scene), 6),
        nodata_pct=_nodata_pct(scene),
        zenith=round(zenith, 6),
        azimuth=round(azimuth, 6),
    )
    return _with_grids(item, scene.grid)


def _sentinel1(scene: Scene1) -> Json:
    end = scene.time + dt.timedelta(seconds=25)
    return _item(
        "sentinel-1-rtc",
        scene.id,
        footprint(scene),
        scene=scene,
        grid=scene.grid,
        bounds=list(scene.grid.bounds),
        affine9=[*_affine(scene.grid), 0.0, 0.0, 1.0],
        end=end,
        middle=scene.time + (end - scene.time) / 2,
        datatake=str(int(scene.id.split("_")[7], 16)),
        looks=radar.LOOKS,
        nodata=int(radar.NODATA),
    )


def _landsat(scene: landsat.SceneL) -> Json:
    zenith, azimuth = clouds.sun(scene)
    cloud_pct = round(100 * clouds.covered_share(scene), 2)
    grid = scene.grid.coarser(oli.FACTOR)
    return _item(
        landsat.COLLECTION,
        scene.id,
        footprint(scene),
        scene=scene,
        grid=grid,
        affine=_affine(grid),
        cloud_pct=cloud_pct,
        elevation=round(90 - zenith, 8),
        azimuth=round(azimuth, 8),
        path=f"{scene.acquired.path:03d}",
        row=f"{scene.row:03d}",
    )


def _aerial(sheet: aerial.Sheet) -> Json:
    grid = sheet.grid
    where = {"grid": grid, "bounds": list(grid.bounds), "affine9": [*_affine(grid), 0.0, 0.0, 1.0]}
    return _item(aerial.COLLECTION, sheet.id, sheet.footprint, sheet=sheet, **where)


def _dynamicworld(scene: Scene2) -> Json:
    tiles_sensed = scene.time + dt.timedelta(seconds=SENSING_S)
    shape = footprint(scene)
    item = _item(
        "dynamicworld", scene.dynamicworld_id, shape, scene=scene, sensed=_sensed(scene), tiles_sensed=tiles_sensed
    )
    return _with_grids(item, scene.grid)


def _elevation(product: static.Product) -> Json:
    shape = shapely.box(*product.grid.bounds)
    return _item("cop-dem-glo-30", product.id, shape, product=product, affine=_affine(product.grid))


def _worldcover(product: static.Product) -> Json:
    year, _ = static.WC_VERSIONS[product.version]
    shape, affine = shapely.box(*product.grid.bounds), _affine(product.grid)
    return _item("esa-worldcover", product.id, shape, product=product, affine=affine, year=year, nothing=None)


def _collection(name: str, items: list[Json]) -> Json:
    title = _TABLE[name]["title"]
    # Of each part: those at the antimeridian have one on either side.
    boxes = [shapely.box(*p.bounds) for i in items for p in shapely.get_parts(shapely.geometry.shape(i["geometry"]))]
    times = [
        i["properties"][k]
        for i in items
        for k in ("start_datetime", "datetime", "end_datetime")
        if i["properties"].get(k)
    ]
    # The whole first, then one box per cluster of items: regions and cells lie far apart.
    clusters = shapely.get_parts(shapely.union_all(boxes))
    assets = {k: {f: a[f] for f in ("type", "roles")} for i in items for k, a in i["assets"].items()}
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "stac_extensions": [f"{EXTENSIONS}/item-assets/v1.0.0/schema.json"],
        "id": name,
        "title": title,
        "description": f"{title} as an embedded Earth has it: made by this project, shows no real place.",
        "license": "Apache-2.0",
        "keywords": ["embedded", "synthetic"],
        "providers": [{"name": "curation", "roles": ["producer", "host"]}],
        "extent": {
            "spatial": {"bbox": [list(shapely.union_all(boxes).bounds), *(list(c.bounds) for c in clusters)]},
            "temporal": {"interval": [[min(times), max(times)]]},
        },
        "item_assets": assets,
        "links": [],
    }
