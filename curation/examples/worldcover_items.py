"""Writes a catalog of the ESA WorldCover maps at AWS, 2020 and 2021, from the grid file that lies beside them.

    curl -O https://esa-worldcover.s3.eu-central-1.amazonaws.com/esa_worldcover_grid.geojson
    python -m curation.examples.worldcover_items esa_worldcover_grid.geojson worldcover-aws.json
    curate --dataset my-recipe --catalog worldcover-aws.json

That bucket has files, public and without an account, and no STAC API. Names of files follow from a tile and a year, and the
grid lists the tiles that there are, by the name of their south-west corner. Items come out in Planetary Computer's form, so
that the sources `worldcover` and `worldcover2020` read them as they are. To be read, copied and changed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

BUCKET = "https://esa-worldcover.s3.eu-central-1.amazonaws.com"
VERSIONS = {2020: ("v100", "1.0.0"), 2021: ("v200", "2.0.0")}
"""Year → the version in names of files, and as the property `esa_worldcover:product_version` has it."""
TILE_DEG = 3
"""Side of a tile."""


def items(grid: dict[str, Any], base: str = BUCKET) -> dict[str, Any]:
    """A STAC ItemCollection of both years.

    Args:
        grid: GeoJSON, a feature for each tile, its name in the property `ll_tile`, such as `N00E006`.
        base: what the files lie below.

    Raises:
        ValueError: a feature names no tile.
    """
    names = sorted({str(f.get("properties", {}).get("ll_tile")) for f in grid["features"]})
    return {
        "type": "FeatureCollection",
        "features": [_item(name, year, base) for name in names for year in sorted(VERSIONS)],
    }


def _item(name: str, year: int, base: str) -> dict[str, Any]:
    found = re.fullmatch(r"([NS])(\d{2})([EW])(\d{3})", name)
    if found is None:
        raise ValueError(
            f"grid: a feature's ll_tile is {name!r}, expected one such as 'N00E006': is it WorldCover's grid?"
        )
    south = int(found[2]) * (1 if found[1] == "N" else -1)
    west = int(found[4]) * (1 if found[3] == "E" else -1)
    north, east = south + TILE_DEG, west + TILE_DEG
    version, product = VERSIONS[year]
    item = f"ESA_WorldCover_10m_{year}_{version}_{name}"
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item,
        "collection": "esa-worldcover",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": None,
            "start_datetime": f"{year}-01-01T00:00:00Z",
            "end_datetime": f"{year}-12-31T23:59:59Z",
            "esa_worldcover:product_version": product,
            "esa_worldcover:product_tile": name,
            "proj:epsg": 4326,
        },
        "links": [],
        "assets": {"map": {"href": f"{base}/{version}/{year}/map/{item}_Map.tif", "roles": ["data"]}},
    }


def main(arguments: list[str] | None = None) -> int:
    """Reads the grid, writes the catalog, and says how many items it has."""
    parser = argparse.ArgumentParser(prog="worldcover_items", description=__doc__.splitlines()[0])
    parser.add_argument("grid", type=Path, help="the grid file of the bucket")
    parser.add_argument("catalog", type=Path, help="the ItemCollection to write")
    parser.add_argument("--base", default=BUCKET, help="what the files lie below (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        made = items(json.loads(args.grid.read_text()), args.base)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        print(f"{args.grid}: cannot be read as a grid of tiles: {err}", file=sys.stderr)
        return 2
    args.catalog.write_text(json.dumps(made))
    print(f"{args.catalog}: {len(made['features'])} items")
    return 0


if __name__ == "__main__":
    sys.exit(main())
