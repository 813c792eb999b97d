"""Series of cells: the means of what is packed, a node each, split by split; what is to be told of them is hidden."""

import dataclasses
import json
import tarfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

import curation
from curation.errors import ConfigError
from curation.format import payload
from curation.format.annotations import AnnotationEntry, encoded
from curation.format.index import Index
from curation.pack.graph import series, write
from curation.pack.graph.edges import Rules
from curation.pack.graph.series import SampleSeries
from tests.pack.graph.globe import of_gas, simulated
from tests.pack.graph.test_graph import contents, of
from tests.run import Curate


@pytest.fixture(scope="module")
def folder(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of the tiny world whose cells have the means of both its radar bands."""
    to = tmp_path_factory.mktemp("series") / "graph"
    assert built("graph", "--to", str(to), "--variables", "s1rtc", "--cells", "healpix:12") == 0
    return to


def test_a_series_is_the_mean_of_the_pixels_that_are_there_season_by_season(built: Curate, folder: Path):
    graph = curation.graph.open(folder)
    index = Index.from_bytes((built.folder / "shards/index.json").read_bytes())
    assert graph.info["variables"] == ["s1rtc/VH", "s1rtc/VV"]
    assert graph.info["steps"] == list(index.seasons)
    places, held = graph.nodes("place"), graph.edges("place", "in", "cell")
    table = graph.nodes("variable")
    seen = 0
    want: dict[tuple[int, str], list[np.ndarray]] = {}
    cells = curation.pack.graph.cellgrids.CellGrid.of("healpix:12")
    ids = graph.nodes("cell").column("id").to_pylist()
    where = {
        name: cells.ids(cells.numbers_at(np.array([lon]), np.array([lat])))[0]
        for name, lon, lat in zip(*(places.column(n).to_pylist() for n in ("id", "lon", "lat")), strict=True)
    }
    for tar in sorted((built.folder / "shards").rglob("*.tar")):
        with tarfile.open(tar) as its:
            found: dict[str, np.ndarray] = {}
            for member in its:
                key, _, suffix = member.name.partition(".")
                if suffix.startswith("s1rtc") and "mask" not in suffix:
                    array, season, encoding = suffix.split(".", 2)
                    entry = index.arrays[array]
                    if entry.role == "data" and not entry.is_static:
                        pixels = payload.decode(its.extractfile(member).read(), encoding, suffix).astype(float)
                        own = found.setdefault(key, np.full((2, len(index.seasons)), np.nan))
                        for b, band in enumerate(pixels):
                            good = band[band != entry.nodata]
                            own[b, index.seasons.index(season)] = good.mean() if good.size else np.nan
            for key, own in found.items():
                for band, row in zip(("VV", "VH"), own, strict=True):
                    want.setdefault((ids.index(where[key]), f"s1rtc/{band}"), []).append(row)
    for row in table.to_pylist():
        rows = want[row["cell"], row["name"]]
        np.testing.assert_allclose(row["series"], np.mean(rows, axis=0), rtol=1e-5)
        seen += len(rows)
    assert seen == sum(map(len, want.values())) > 8
    assert len(held.src) >= places.num_rows
    told = graph.edges("variable", "of", "cell")
    np.testing.assert_array_equal(told.dst[np.argsort(told.src)], table.column("cell").to_numpy())
    back = graph.edges("cell", "has", "variable")
    assert set(zip(back.dst.tolist(), back.src.tolist(), strict=True)) == set(
        zip(told.src.tolist(), told.dst.tolist(), strict=True)
    )


def test_pixels_without_data_are_not_part_of_a_mean_and_of_none_there_is_no_mean(built: Curate):
    index = Index.from_bytes((built.folder / "shards/index.json").read_bytes())
    plan = series.plan(index, ["s1rtc/VV"], "index")
    entry, suffix = index.arrays["s1rtc_10m"], "s1rtc_10m.summer.npy.blosc"
    read, which, steps = plan.members[suffix]
    pixels = np.full(entry.shape, entry.nodata, entry.dtype)
    assert np.isnan(read(payload.encode(pixels, "lz4"), "x")).all()
    pixels[:, 0, :2] = [-1200, -800]
    assert read(payload.encode(pixels, "lz4"), "x").tolist() == [[-1000.0]]
    assert (which, steps) == ((0,), (0,))


def test_python_asks_for_series_as_the_command_does(built: Curate, folder: Path, tmp_path: Path):
    made = curation.load(built.world.recipe, built.root)
    made.graph(tmp_path / "graph", variables=["s1rtc"], cells="healpix:12")
    assert contents(tmp_path / "graph") == contents(folder)


def index_with(built: Curate, name: str, entry: AnnotationEntry) -> Index:
    index = Index.from_bytes((built.folder / "shards/index.json").read_bytes())
    return msgspec.structs.replace(index, annotations={**index.annotations, name: entry})


def test_numbers_of_an_annotation_are_series_step_by_step(built: Curate):
    entry = AnnotationEntry("monthly", "numbers", (3, 2), names=("t2m", "tp"))
    plan = series.plan(index_with(built, "era5", entry), ["era5/tp", "s1rtc/VV"], "index")
    assert plan.names == ("era5/tp", "s1rtc/VV")
    assert plan.steps == ("summer", "autumn", "era5:01", "era5:02", "era5:03")
    read, which, steps = plan.members["era5.json"]
    data = encoded(entry, [[1, 2], [3, None], [5, 6]])
    row = plan.row({"era5.json": read(data, "x")})
    np.testing.assert_array_equal(row, [[np.nan, np.nan, 2, np.nan, 6], [np.nan] * 5])
    assert (which, steps) == ((0,), (2, 3, 4))


def test_series_that_there_are_not_are_refused_with_those_that_there_are(built: Curate, tmp_path: Path, capsys):
    assert built("graph", "--to", str(tmp_path / "graph"), "--variables", "s1rtb") == 2
    assert "has no such; did you mean s1rtc?" in capsys.readouterr().err.replace("\n", " ")
    with pytest.raises(ConfigError, match="expected of or has among --edges"):
        write.checked(Rules(("near",), variables=("s1rtc",)))
    entry = AnnotationEntry("number", "numbers", (1,), names=("a",))
    index = index_with(built, "s1rtc", entry)
    with pytest.raises(ConfigError, match="expected"):
        series.plan(index, ["dem"], "index")  # which is static
    columned = msgspec.structs.replace(index, columns={"s1rtc/VV": next(iter(index.columns.values()), None)})
    with pytest.raises(ConfigError, match="'s1rtc/VV' is a column or an annotation"):
        series.plan(columned, ["s1rtc"], "index")
    many = index_with(built, "hourly", AnnotationEntry("hours", "numbers", (2000, 1), names=("t",)))
    with pytest.raises(ConfigError, match="2000 steps, expected at most 1024"):
        series.plan(many, ["hourly"], "index")


def samples(values: list, splits: list[str]) -> SampleSeries:
    array = np.array(values, np.float32)
    names = tuple(f"v{n}" for n in range(array.shape[1]))
    steps = tuple(f"s{n}" for n in range(array.shape[2]))
    count = len(values)
    lon = np.array([5.0 + n // 2 for n in range(count)])
    return SampleSeries(
        names, ("",) * len(names), steps, [f"x{n}" for n in range(count)], lon, 0 * lon, np.array(splits), array
    )


def test_samples_of_one_cell_are_one_series_and_what_is_unknown_of_all_is_no_node():
    nan = np.nan
    its = samples([[[1, nan], [nan, nan]], [[3, 4], [nan, nan]], [[nan, nan], [5, 6]]], ["train"] * 3)
    found = series.by_cell(its, np.array([7, 7, 9]))
    assert (found.cell.tolist(), found.name.tolist()) == ([7, 9], [0, 1])
    np.testing.assert_array_equal(found.values, [[2, 4], [5, 6]])


def test_a_series_of_samples_of_two_splits_is_of_none_and_leads_nowhere_by_default(tmp_path: Path):
    found = simulated(4, seasons=1)
    found.lon, found.lat, found.splits = [5.0, 5.0, 6.0, 6.0], [0.0] * 4, ["train", "val", "train", "train"]
    found.series = samples([[[1.0]], [[2.0]], [[3.0]], [[4.0]]], found.splits)
    graph = of(found, tmp_path, Rules(variables=("v0",)))
    assert graph.nodes("variable").column("split").to_pylist() == ["", "train"]
    assert graph.edges("variable", "of", "cell").crosses.tolist() == [True, False]
    assert graph.to_dict()["variable", "of", "cell"]["edge_index"].shape == (2, 1)


def test_a_cell_that_has_a_series_and_no_place_is_a_node(tmp_path: Path):
    found = simulated(2, seasons=1)
    found.series = dataclasses.replace(samples([[[1.0]]], ["train"]), lon=np.array([77.0]), lat=np.array([11.0]))
    graph = of(found, tmp_path, Rules(variables=("v0",)))
    cells = graph.nodes("cell").to_pylist()
    (cell,) = [c for c in cells if (c["lon"], c["lat"]) == (77.0, 11.0)]
    assert cell["split"] == "train"
    assert len(cells) == 3


def test_of_a_series_that_is_to_be_told_only_what_is_not_is_given(tmp_path: Path):
    graph = of(of_gas("noise", 6), tmp_path, Rules(variables=("s5p-no2",)))
    whole, all_of_it, one = (graph.to_dict(target=t)["variable"] for t in ("", "s5p-no2", "s5p-no2@2021-03"))
    assert "y" not in whole
    assert not np.isnan(whole["series"]).any()
    assert np.isnan(all_of_it["series"]).all()
    np.testing.assert_array_equal(all_of_it["y"], whole["series"])
    hidden = np.zeros(7, bool)
    hidden[2] = True
    assert np.isnan(one["series"][:, hidden]).all()
    np.testing.assert_array_equal(one["series"][:, ~hidden], whole["series"][:, ~hidden])
    np.testing.assert_array_equal(one["y"][:, 2], whole["series"][:, 2])
    assert np.isnan(one["y"][:, ~hidden]).all()
    assert one["variable"].tolist() == [0] * 36
    assert one["x"].shape == (36, 3)
    with pytest.raises(ConfigError, match="did you mean 2021-03"):
        graph.to_dict(target="s5p-no2@2021-3")
    with pytest.raises(ConfigError, match="there is none such; expected s5p-no2"):
        graph.to_dict(target="s5p-co@2021-03")
    block = graph.to_dict(places=np.arange(5), across_splits=True)
    assert block["variable"]["series"].shape == (len(block["cell"]["number"]), 7)


def test_the_patches_of_a_place_lead_to_it(built: Curate, folder: Path):
    graph = curation.graph.open(folder)
    its = graph.edges("patch", "of", "place")
    np.testing.assert_array_equal(its.dst[np.argsort(its.src)], graph.nodes("patch").column("place").to_numpy())
    assert json.loads((folder / "graph.json").read_text())["steps"] == ["summer", "autumn"]
