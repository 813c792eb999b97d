"""STAC items of swath products: Sentinel-5P as the Planetary Computer gives them, Sentinel-3 as CDSE does."""

from __future__ import annotations

import datetime as dt
from typing import Any

from shapely.geometry import mapping

from curation.embedded.archive.archive import Key
from curation.embedded.sensors import columns, olci, orbits
from curation.embedded.world import sphere, tables

Json = dict[str, Any]

EXTENSIONS = "https://stac-extensions.github.io"

_TABLE = tables.beside(__file__)


def swath_items() -> list[Json]:
    """Every item of a swath product; hrefs are relative to the archive's root."""
    return [*map(_sentinel5p, columns.files()), *map(_sentinel3, olci.granules())]


def feature(collection: str, name: str, shape: sphere.Shape, form: Json, assets: Json) -> Json:
    """An item with the properties and extensions of a filled form."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [f"{EXTENSIONS}/{e}/schema.json" for e in form["extensions"]],
        "id": name,
        "collection": collection,
        "geometry": mapping(shape),
        "bbox": list(shape.bounds),
        "properties": form["properties"],
        "assets": assets,
        "links": [],
    }


def _sentinel5p(file: columns.File5) -> Json:
    orbit, product = file.orbit, file.product
    start, end = orbit.time(0), orbit.time(orbit.count)
    form = tables.filled(
        _TABLE[orbits.COLLECTION],
        file=file,
        product=product,
        start=start,
        end=end,
        middle=start + (end - start) / 2,
        collection=columns.MODES[file.mode][0],
        step_m=round(1000 * orbits.STEP_KM),
        short=product.name.replace("-", "_"),
        href=Key(orbits.COLLECTION, file.id, file.id).path,
    )
    return feature(orbits.COLLECTION, file.id, orbits.footprint(orbit), form, form["assets"])


def _sentinel3(granule: olci.Granule) -> Json:
    form = _TABLE[olci.COLLECTION]
    properties = tables.filled(
        form["properties"],
        granule=granule,
        published=granule.made + dt.timedelta(minutes=20),
        platform=granule.platform.lower(),
        designator={"A": "2016-011A", "B": "2018-039A"}[granule.platform],
        bright=olci.bright_percent(granule),
        nothing=None,
    )
    files = {f"{band}_radianceData": (f"{band}_radiance", f"TOA radiance of band {band}") for band in olci.BANDS}
    files |= {
        "geo-coordinates": (olci.GEOLOCATION, "Geo Coordinates Annotations"),
        "quality-flags": (olci.QUALITY, "Classification and Quality Flags"),
    }
    assets: Json = {}
    for asset, (name, title) in files.items():
        href = Key(olci.COLLECTION, granule.id, name).path
        assets |= tables.filled(form["assets"], granule=granule, asset=asset, name=name, title=title, href=href)
    return feature(olci.COLLECTION, granule.id, olci.footprint(granule), form | {"properties": properties}, assets)
