"""Polygons of a file of the user's hold points wherever they lie; what is no file of polygons is refused."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from curation.errors import ConfigError
from curation.places.domains import polygons


def found(path: Path, *at: tuple[float, float]) -> list[str]:
    lon, lat = np.array(at, np.float64).T
    return ["|".join(sorted(its)) for its in polygons.find(path, "name", lon, lat, "here")]


def frame(shapes: dict[str, shapely.Geometry | None], crs: int | None = 4326) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"name": list(shapes), "geometry": list(shapes.values())}, crs=crs)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.box(179, 0, 181, 1),
        shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)]),
        shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)]),
        shapely.box(-181, 0, -179, 1),
    ],
)
def test_a_shape_at_the_antimeridian_holds_what_lies_on_either_side_and_nothing_around_the_globe(shape, tmp_path):
    frame({"a": shape}).to_file(tmp_path / "a.gpkg")
    assert found(tmp_path / "a.gpkg", (179.5, 0.5), (-179.5, 0.5), (180, 0.5), (0, 0.5), (178, 0.5)) == [
        *("a", "a", "a", "", "")
    ]


def test_a_cap_around_the_pole_holds_the_pole_and_what_is_far_from_a_zone_is_in_none_of_its_shapes(tmp_path):
    frame({"cap": shapely.box(-1e6, -1e6, 1e6, 1e6)}, 3413).to_file(tmp_path / "cap.gpkg")
    assert found(tmp_path / "cap.gpkg", (0, 90), (10, 85), (-170, 85), (10, 70), (10, -85)) == [
        "cap",
        "cap",
        "cap",
        "",
        "",
    ]
    for crs, at, far in ((32631, (3, 50), (93, 0)), (21781, (8, 47), (140, -30))):
        frame({"all": shapely.box(-1e9, -1e9, 1e9, 1e9)}, crs).to_file(tmp_path / f"{crs}.gpkg")
        assert found(tmp_path / f"{crs}.gpkg", at, far) == ["all", ""]


def test_geoparquet_is_read(tmp_path):
    frame({"a": shapely.box(0, 0, 1, 1)}).to_parquet(tmp_path / "a.parquet")
    assert found(tmp_path / "a.parquet", (0.5, 0.5), (2, 2)) == ["a", ""]


def test_what_is_no_file_of_polygons_is_refused_with_what_it_is(tmp_path):
    frame({"a": shapely.box(0, 0, 1, 1), "b": None}).to_file(tmp_path / "none.gpkg")
    frame({"a": shapely.box(0, 0, 1, 1)}, None).to_parquet(tmp_path / "crs.parquet")
    (tmp_path / "table.csv").write_text("name,b\na,1\n")
    (tmp_path / "no.parquet").write_text("nothing")
    for file, said in (
        ("none.gpkg", r"shapes \['Polygon', 'nan'\]; expected polygons with a CRS"),
        ("crs.parquet", "CRS None"),
        ("table.csv", "a table without shapes"),
        ("no.parquet", "cannot be read as a vector file"),
    ):
        with pytest.raises(ConfigError, match=said):
            found(tmp_path / file, (0, 0))
