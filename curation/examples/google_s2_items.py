"""Writes a catalog of Sentinel-2 in Google's public bucket, L1C or L2A, from the index file that lies in it.

    curl -O https://storage.googleapis.com/gcp-public-data-sentinel-2/index.csv.gz
    python -m curation.examples.google_s2_items index.csv.gz google.json --bbox 6 50 8 52 --from 2021-06-01 --to 2021-09-01
    curate --dataset my-recipe --catalog s2l1c=google.json

That bucket has ESA's own products in JPEG 2000, public and without an account, and no STAC API. Names of files follow from a
row of the index (that of L2A is `L2/index.csv.gz`). Items come out with the names of Planetary Computer, so that the sources
`s2l1c` and `s2l2a` read them as they are. To be read, copied and changed.

An item's outline is the row's box in degrees, which holds more than was seen where a granule is cut by the edge of a swath:
what was not seen is no data in the pixels, and judged there.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import gzip
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

BUCKET = "https://storage.googleapis.com/gcp-public-data-sentinel-2"
BASE = "gs://gcp-public-data-sentinel-2"
"""What the column BASE_URL begins with."""

PRODUCT = re.compile(r"(S2[A-D])_MSI(L1C|L2A)_(\d{8}T\d{6})_N(\d\d)(\d\d)_R(\d{3})_T(\d{2}[C-X][A-Z]{2})_\d{8}T\d{6}")
"""Name of a product since 6 December 2016; those before it are of many tiles, and named otherwise."""

BANDS = {
    10: ("B02", "B03", "B04", "B08"),
    20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B09"),
}
"""Metres a pixel → bands of both levels; of L1C there is B10 beside them, of L2A the scene classification."""


class RowError(ValueError):
    """A row that makes no item."""


def items(rows: Iterable[Mapping[str, str]], bucket: str = BUCKET) -> Iterator[dict[str, Any] | RowError]:
    """STAC items of rows of the index, in order; in place of one that makes none, why.

    Args:
        rows: by the names of the columns of the index.
        bucket: what the files lie below.
    """
    for row in rows:
        try:
            yield _item(row, bucket)
        except RowError as err:
            yield err


def _item(row: Mapping[str, str], bucket: str) -> dict[str, Any]:
    product = str(row["PRODUCT_ID"])
    found = PRODUCT.fullmatch(product)
    if found is None:
        raise RowError("products named as before December 2016")
    platform, level, start, major, minor, orbit, tile = found.groups()
    granule, base = str(row["GRANULE_ID"]), str(row["BASE_URL"])
    if not base.startswith(f"{BASE}/"):
        raise RowError("files that are not in the bucket")
    try:
        west, south, east, north = (
            float(row[f"{name}"]) for name in ("WEST_LON", "SOUTH_LAT", "EAST_LON", "NORTH_LAT")
        )
        sensed = dt.datetime.fromisoformat(row["SENSING_TIME"].replace("Z", "+00:00"))
        cloud_pct = float(row["CLOUD_COVER"])
    except ValueError as err:
        raise RowError("rows whose numbers or times cannot be read") from err
    if not (
        -180 <= west <= 180
        and -180 <= east <= 180
        and (east - west) % 360
        and -90 <= south < north <= 90
        and sensed.tzinfo
    ):
        raise RowError("rows that lie nowhere, or at no time")
    folder = f"{bucket}{base.removeprefix(BASE)}/GRANULE/{granule}/IMG_DATA"
    zone, letter = int(tile[:2]), tile[2]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": product,
        "collection": "sentinel-2-l1c" if level == "L1C" else "sentinel-2-l2a",
        "geometry": {"type": "MultiPolygon", "coordinates": [[ring] for ring in _rings(west, south, east, north)]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": sensed.isoformat(),
            "platform": {"S2A": "Sentinel-2A", "S2B": "Sentinel-2B", "S2C": "Sentinel-2C", "S2D": "Sentinel-2D"}[
                platform
            ],
            "eo:cloud_cover": cloud_pct,
            "proj:epsg": (32600 if letter >= "N" else 32700) + zone,
            "sat:relative_orbit": int(orbit),
            "s2:datatake_id": row["DATATAKE_IDENTIFIER"],
            "s2:mgrs_tile": tile,
            "s2:processing_baseline": f"{major}.{minor}",
        },
        "links": [],
        "assets": {
            band: {"href": f"{folder}/{name}", "type": "image/jp2", "roles": ["data"]}
            for band, name in _names(level, f"T{tile}_{start}").items()
        },
    }


def _names(level: str, prefix: str) -> dict[str, str]:
    """Name of each band's file, below the granule's folder of images."""
    if level == "L1C":
        return {band: f"{prefix}_{band}.jp2" for band in sorted([*(b for its in BANDS.values() for b in its), "B10"])}
    bands = BANDS | {20: (*BANDS[20], "SCL")}
    return {band: f"R{res_m}m/{prefix}_{band}_{res_m}m.jp2" for res_m, its in bands.items() for band in its}


def _rings(west: float, south: float, east: float, north: float) -> list[list[list[float]]]:
    """A box, or the two on both sides of the antimeridian where it begins in the west of it."""
    sides = [(west, east)] if west < east else [(west, 180.0), (-180.0, east)]
    return [[[w, south], [e, south], [e, north], [w, north], [w, south]] for w, e in sides if w < e]


def wanted(rows: Iterable[Mapping[str, str]], args: argparse.Namespace) -> Iterator[Mapping[str, str]]:
    """Rows that touch the box and lie within the days, as texts tell: an index has tens of millions."""
    west, south, east, north = args.bbox
    for row in rows:
        if not (args.start <= row["SENSING_TIME"][:10] < args.end):
            continue
        try:
            w, s, e, n = (float(row[name]) for name in ("WEST_LON", "SOUTH_LAT", "EAST_LON", "NORTH_LAT"))
        except ValueError:
            yield row  # counted where it is read
            continue
        meets = any(a <= east and west <= b for a, b in ([(w, e)] if w < e else [(w, 180.0), (-180.0, e)]))
        if meets and s <= north and south <= n:
            yield row


def main(arguments: list[str] | None = None) -> int:
    """Reads the index, writes the catalog, and says how many items it has, and what made none."""
    parser = argparse.ArgumentParser(prog="google_s2_items", description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path, help="the index file of the bucket, packed (.gz) or not")
    parser.add_argument("catalog", type=Path, help="the ItemCollection to write")
    parser.add_argument(
        "--bbox", nargs=4, type=float, required=True, metavar=("WEST", "SOUTH", "EAST", "NORTH"), help="in degrees"
    )
    parser.add_argument(
        "--from", dest="start", type=_day, required=True, metavar="DAY", help="first day, as 2021-06-01"
    )
    parser.add_argument("--to", dest="end", type=_day, required=True, metavar="DAY", help="the day after the last")
    parser.add_argument("--base", default=BUCKET, help="what the files lie below (default: %(default)s)")
    args = parser.parse_args(arguments)
    left_out: Counter[str] = Counter()
    made = []
    try:
        with (gzip.open if args.index.suffix == ".gz" else open)(
            args.index, "rt", newline="", encoding="utf-8"
        ) as file:
            for item in items(wanted(csv.DictReader(file, strict=True), args), args.base):
                if isinstance(item, RowError):
                    left_out[str(item)] += 1
                else:
                    made.append(item)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, KeyError, TypeError, AttributeError) as err:
        print(f"{args.index}: cannot be read as the index of the bucket: {type(err).__name__}: {err}", file=sys.stderr)
        return 2
    args.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": made}))
    print(f"{args.catalog}: {len(made)} items" + "".join(f"; left out: {n} {why}" for why, n in left_out.items()))
    return 0


def _day(text: str) -> str:
    return dt.date.fromisoformat(text).isoformat()


if __name__ == "__main__":
    sys.exit(main())
