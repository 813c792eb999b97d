"""STAC collections and items of the archive, in the form that the Planetary Computer gives them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import shapely
from shapely.geometry import mapping

from curation.embedded import cells, clouds, optics, radar, static
from curation.embedded.archive import Key
from curation.embedded.cover import BANDS
from curation.embedded.grids import Grid
from curation.embedded.scenes import (
    SENSING_S,
    Scene1,
    Scene2,
    dynamicworld_scenes,
    footprint,
    s1_scenes,
    s2_scenes,
    swath,
)
from curation.embedded.swathitems import swath_items

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
EXTENSIONS = "https://stac-extensions.github.io"
Json = dict[str, Any]

_CENTRE_UM = {
    "B01": 0.443, "B02": 0.49, "B03": 0.56, "B04": 0.665, "B05": 0.704, "B06": 0.74, "B07": 0.783, "B08": 0.842,
    "B8A": 0.865, "B09": 0.945, "B11": 1.61, "B12": 2.19,
}  # fmt: skip
_COMMON = {"B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B8A": "rededge",
           "B11": "swir16", "B12": "swir22"}  # fmt: skip


def all_items() -> list[Json]:
    """Every item; hrefs are relative to the archive's root, links are the API's to add."""
    out = [_sentinel2(s) for s in (*s2_scenes(), *cells.s2_scenes())]
    out += [_sentinel1(s) for s in (*s1_scenes(), *cells.s1_scenes())]
    out += [_dynamicworld(s) for s in dynamicworld_scenes()]
    out += [_elevation(p) for p in (*static.elevation_products(), *static.world_elevation())]
    out += [_worldcover(p) for p in static.worldcover_products()]
    return out + swath_items()


def all_collections(items: list[Json]) -> list[Json]:
    """Every collection, its extent that of its items."""
    return [_collection(name, [i for i in items if i["collection"] == name]) for name in _COLLECTIONS]


def _item(
    collection: str,
    name: str,
    shape: shapely.Polygon | shapely.MultiPolygon,
    properties: Json,
    assets: Json,
    extensions: tuple[str, ...],
) -> Json:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [f"{EXTENSIONS}/{e}/schema.json" for e in extensions],
        "id": name,
        "collection": collection,
        "geometry": mapping(shape),
        "bbox": list(shape.bounds),
        "properties": properties,
        "assets": {
            k: {"href": Key(collection, name, k).path, "type": COG, "roles": ["data"]} | a for k, a in assets.items()
        },
        "links": [],
    }


def _affine(grid: Grid) -> list[float]:
    return [float(v) for v in tuple(grid.transform)[:6]]


def _time(value: dt.datetime) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%S.%f}Z"


def _sensed(scene: Scene2) -> dt.datetime:
    return scene.time + dt.timedelta(milliseconds=24)


def _per_asset(grid: Grid) -> Json:
    return {"proj:bbox": list(grid.bounds), "proj:shape": [grid.height, grid.width], "proj:transform": _affine(grid)}


def _nodata_pct(scene: Scene1 | Scene2) -> float:
    return round(100 * (1 - swath(scene).area / shapely.box(*scene.grid.bounds).area), 6)


def _sentinel2(scene: Scene2) -> Json:
    zenith, azimuth = clouds.sun(scene)
    stamp, made = f"{scene.time:%Y%m%dT%H%M%S}", f"{scene.made:%Y%m%dT%H%M%S}"
    baseline, mission = scene.baseline.replace(".", ""), f"S{scene.platform}_OPER_MSI"
    name = f"S{scene.platform}_MSIL2A_{stamp}_N{baseline}_R{scene.acquired.orbit:03d}_T{scene.tile.name}_{made}"
    properties = {
        "datetime": _time(_sensed(scene)),
        "platform": f"Sentinel-{scene.platform}",
        "constellation": "Sentinel 2",
        "instruments": ["msi"],
        "proj:epsg": scene.grid.epsg,
        "eo:cloud_cover": round(100 * clouds.covered_share(scene), 6),
        "sat:orbit_state": "descending",
        "sat:relative_orbit": scene.acquired.orbit,
        "s2:mgrs_tile": scene.tile.name,
        "s2:datatake_id": scene.datatake,
        "s2:datatake_type": "INS-NOBS",
        "s2:product_type": "S2MSI2A",
        "s2:product_uri": f"{name}.SAFE",
        "s2:granule_id": f"{mission}_L2A_TL_EMBD_{made}_A{scene.absolute_orbit:06d}_T{scene.tile.name}_N{scene.baseline}",
        "s2:datastrip_id": f"{mission}_L2A_DS_EMBD_{made}_S{stamp}_N{scene.baseline}",
        "s2:generation_time": _time(scene.made),
        "s2:processing_baseline": scene.baseline,
        "s2:nodata_pixel_percentage": _nodata_pct(scene),
        "s2:mean_solar_zenith": round(zenith, 6),
        "s2:mean_solar_azimuth": round(azimuth, 6),
    }
    assets: Json = {}
    for band in sorted(BANDS, key=lambda b: (b[:2] != "B0", b)):
        res = optics.RES_M[band]
        eo = {"name": band, "center_wavelength": _CENTRE_UM[band]}
        if band in _COMMON:
            eo["common_name"] = _COMMON[band]
        assets[band] = {"title": f"{band} - {res}m", "gsd": float(res), "eo:bands": [eo]} | _per_asset(
            scene.grid.coarser(res // 10)
        )
    assets["SCL"] = {"title": "Scene classfication map (SCL)", "gsd": 20.0} | _per_asset(scene.grid.coarser(2))
    return _item(
        "sentinel-2-l2a",
        scene.id,
        footprint(scene),
        properties,
        assets,
        ("eo/v1.0.0", "sat/v1.0.0", "projection/v1.0.0"),
    )


def _sentinel1(scene: Scene1) -> Json:
    grid, start = scene.grid, scene.time
    end = start + dt.timedelta(seconds=25)
    properties = {
        "datetime": _time(start + (end - start) / 2),
        "start_datetime": _time(start),
        "end_datetime": _time(end),
        "platform": f"SENTINEL-{scene.platform}",
        "constellation": "Sentinel-1",
        "proj:epsg": grid.epsg,
        "proj:bbox": list(grid.bounds),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": [*_affine(grid), 0.0, 0.0, 1.0],
        "s1:shape": [grid.width, grid.height],
        "s1:datatake_id": str(int(scene.id.split("_")[7], 16)),
        "s1:orbit_source": "POEORB",
        "s1:resolution": "high",
        "s1:processing_level": "1",
        "s1:product_timeliness": "Fast-24h",
        "sar:instrument_mode": "IW",
        "sar:product_type": "GRD",
        "sar:polarizations": ["VV", "VH"],
        "sar:frequency_band": "C",
        "sar:center_frequency": 5.405,
        "sar:looks_range": 5,
        "sar:looks_azimuth": 1,
        "sar:looks_equivalent_number": radar.LOOKS,
        "sar:resolution_range": 20,
        "sar:resolution_azimuth": 22,
        "sar:pixel_spacing_range": 10,
        "sar:pixel_spacing_azimuth": 10,
        "sar:observation_direction": "right",
        "sat:orbit_state": scene.direction,
        "sat:relative_orbit": scene.acquired.orbit,
        "sat:absolute_orbit": scene.absolute_orbit,
    }
    raster = [{"nodata": int(radar.NODATA), "data_type": "float32", "spatial_resolution": 10.0}]
    assets = {
        p: {"title": f"{p.upper()}: gamma0, terrain-corrected", "raster:bands": raster} for p in radar.POLARISATIONS
    }
    extensions = ("sar/v1.0.0", "sat/v1.0.0", "projection/v1.1.0", "raster/v1.1.0")
    return _item("sentinel-1-rtc", scene.id, footprint(scene), properties, assets, extensions)


def _dynamicworld(scene: Scene2) -> Json:
    properties = {
        "datetime": _time(_sensed(scene)),
        "platform": f"Sentinel-{scene.platform}",
        "proj:epsg": scene.grid.epsg,
        "s2:mgrs_tile": scene.tile.name,
        "s2:datatake_id": scene.datatake,
        "dynamicworld:algorithm_version": "3.5",
        "dynamicworld:sensed": _time(scene.time + dt.timedelta(seconds=SENSING_S)),
    }
    raster = [{"nodata": 255, "data_type": "uint8", "spatial_resolution": 10.0}]
    assets = {"label": {"title": "Most probable class", "raster:bands": raster, "gsd": 10.0} | _per_asset(scene.grid)}
    extensions = ("projection/v1.0.0", "raster/v1.1.0")
    return _item("dynamicworld", scene.dynamicworld_id, footprint(scene), properties, assets, extensions)


def _elevation(product: static.Product) -> Json:
    grid = product.grid
    properties = {
        "datetime": "2021-04-22T00:00:00Z",
        "gsd": 30,
        "platform": "TanDEM-X",
        "proj:epsg": 4326,
        "proj:shape": [grid.height, grid.width],
        "proj:transform": _affine(grid),
    }
    assets = {"data": {"title": product.name}}
    return _item("cop-dem-glo-30", product.id, shapely.box(*grid.bounds), properties, assets, ("projection/v1.0.0",))


def _worldcover(product: static.Product) -> Json:
    year, _ = static.WC_VERSIONS[product.version]
    properties = {
        "datetime": None,
        "start_datetime": f"{year}-01-01T00:00:00Z",
        "end_datetime": f"{year}-12-31T23:59:59Z",
        "created": "2023-04-06T16:03:26.737751Z",
        "description": "ESA WorldCover product at 10m resolution",
        "mission": "sentinel-1, sentinel-2",
        "platform": "sentinel-1a, sentinel-1b, sentinel-2a, sentinel-2b",
        "instruments": ["c-sar", "msi"],
        "grid:code": f"ESAWORLDCOVER-{product.name}",
        "proj:epsg": 4326,
        "esa_worldcover:product_tile": product.name,
        "esa_worldcover:product_version": product.version,
    }
    raster = [{"name": "Band1", "nodata": 0, "sampling": "area", "data_type": "uint8", "spatial_resolution": 10}]
    grid = product.grid
    assets = {
        "map": {"title": "Land Cover Classes", "proj:shape": [grid.height, grid.width], "proj:transform": _affine(grid)}
        | {"raster:bands": raster}
    }
    extensions = ("projection/v1.1.0", "grid/v1.1.0", "raster/v1.1.0")
    return _item("esa-worldcover", product.id, shapely.box(*grid.bounds), properties, assets, extensions)


_COLLECTIONS = {
    "sentinel-2-l2a": "Sentinel-2 Level-2A",
    "sentinel-1-rtc": "Sentinel 1 Radiometrically Terrain Corrected (RTC)",
    "cop-dem-glo-30": "Copernicus DEM GLO-30",
    "esa-worldcover": "ESA WorldCover",
    "dynamicworld": "Dynamic World V1",
    "sentinel-5p-l2-netcdf": "Sentinel-5P Level-2",
    "sentinel-3-olci-1-efr-ntc": "Sentinel-3 OLCI Level-1 full resolution",
}


def _collection(name: str, items: list[Json]) -> Json:
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
        "title": _COLLECTIONS[name],
        "description": f"{_COLLECTIONS[name]} as an embedded Earth has it: made by this project, shows no real place.",
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
