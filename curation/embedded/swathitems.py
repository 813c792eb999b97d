"""STAC items of swath products: Sentinel-5P as the Planetary Computer gives them, Sentinel-3 as CDSE does."""

from __future__ import annotations

import datetime as dt
from typing import Any

from shapely.geometry import mapping

from curation.embedded import columns, olci, orbits, sphere
from curation.embedded.archive import Key

Json = dict[str, Any]

EXTENSIONS = "https://stac-extensions.github.io"


def swath_items() -> list[Json]:
    """Every item of a swath product; hrefs are relative to the archive's root."""
    return [*map(_sentinel5p, columns.files()), *map(_sentinel3, olci.granules())]


def _item(
    collection: str, name: str, shape: sphere.Shape, properties: Json, assets: Json, extensions: tuple[str, ...]
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
        "assets": assets,
        "links": [],
    }


def _sentinel5p(file: columns.File5) -> Json:
    orbit, product = file.orbit, file.product
    start, end = orbit.time(0), orbit.time(orbit.count)
    properties: Json = {
        "datetime": f"{start + (end - start) / 2:%Y-%m-%dT%H:%M:%S.%f}Z",
        "start_datetime": f"{start:%Y-%m-%dT%H:%M:%S}Z",
        "end_datetime": f"{end:%Y-%m-%dT%H:%M:%S}Z",
        "created": f"{file.made:%Y-%m-%dT%H:%M:%S}Z",
        "platform": "Sentinel 5 Precursor",
        "constellation": "Sentinel-5P",
        "instruments": ["TROPOMI"],
        "sat:absolute_orbit": orbit.number,
        "sat:platform_international_designator": "2017-064A",
        "s5p:processing_mode": file.mode,
        "s5p:product_name": product.name,
        "s5p:product_type": f"L2__{product.code}",
        "s5p:collection_identifier": columns.MODES[file.mode][0],
        "s5p:shape": [orbit.count, product.pixels],
        "s5p:spatial_resolution": [round(1000 * orbits.STEP_KM), 7000],
        f"s5p:{product.name.replace('-', '_')}": product.extras,
    }
    asset = {
        "href": Key(orbits.COLLECTION, file.id, file.id).path,
        "type": "application/x-netcdf",
        "title": product.title,
        "description": product.summary,
        "roles": ["data"],
    }
    shape = orbits.footprint(orbit)
    return _item(orbits.COLLECTION, file.id, shape, properties, {product.name: asset}, ("sat/v1.0.0",))


def _sentinel3(granule: olci.Granule) -> Json:
    start, end = (f"{t:%Y-%m-%dT%H:%M:%S.%f}Z" for t in (granule.start, granule.end))
    properties = {
        "datetime": start,
        "start_datetime": start,
        "end_datetime": end,
        "created": f"{granule.made + dt.timedelta(minutes=20):%Y-%m-%dT%H:%M:%S}Z",
        "platform": f"sentinel-3{granule.platform.lower()}",
        "constellation": "sentinel-3",
        "instruments": ["olci"],
        "gsd": 300,
        "processing:level": "L1",
        "processing:datetime": f"{granule.made:%Y-%m-%dT%H:%M:%S}Z",
        "product:type": "OL_1_EFR___",
        "product:timeliness": "P1M",
        "product:timeliness_category": "NT",
        "proj:code": None,
        "sat:absolute_orbit": granule.orbit,
        "sat:relative_orbit": granule.relative_orbit,
        "sat:orbit_cycle": granule.cycle,
        "sat:orbit_state": "descending",
        "sat:platform_international_designator": {"A": "2016-011A", "B": "2018-039A"}[granule.platform],
        "statistics": {"bright": olci.bright_percent(granule)},
    }
    files = {f"{band}_radianceData": (f"{band}_radiance", f"TOA radiance of band {band}") for band in olci.BANDS}
    files |= {
        "geo-coordinates": (olci.GEOLOCATION, "Geo Coordinates Annotations"),
        "quality-flags": (olci.QUALITY, "Classification and Quality Flags"),
    }
    assets = {
        asset: {
            "href": Key(olci.COLLECTION, granule.id, name).path,
            "type": "application/netcdf",
            "title": title,
            "roles": ["data"],
            "file:local_path": f"{granule.id}.SEN3/{name}.nc",
        }
        for asset, (name, title) in files.items()
    }
    extensions = ("file/v2.1.0", "processing/v1.2.0", "product/v1.0.0", "projection/v2.0.0", "sat/v1.1.0")
    return _item(olci.COLLECTION, granule.id, olci.footprint(granule), properties, assets, extensions)
