"""The graph of a dataset: made of its shards, the same each time, whole or not told as there, and honest about splits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

import curation
from curation.errors import ConfigError, DamageError, extras
from curation.format.index import Index
from curation.pack.graph import edges, measures, released, tables, write
from curation.pack.graph.edges import Rules
from curation.pack.graph.opened import Graph
from curation.places.nearby import unit
from curation.store.objects import Store
from tests import world as tiny
from tests.pack.graph.globe import lonlat, rotation, scattered, simulated, smooth
from tests.run import Curate


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """None that a command of another test has left: what they wrote to is closed."""
    monkeypatch.setattr(logging.getLogger("curation"), "handlers", [])


@pytest.fixture(scope="module")
def folder(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph of the tiny world."""
    to = tmp_path_factory.mktemp("graph") / "graph"
    assert built("graph", "--to", str(to)) == 0
    return to


@pytest.fixture
def graph(folder: Path) -> Graph:
    return curation.graph.open(folder)


def of(found: released.FoundSamples, to: Path, rules: Rules = Rules()) -> Graph:  # noqa: B008 - frozen
    """The graph of a simulated dataset, written as that of a real one is."""
    its = released.ordered(found)
    made = tables.made(its, write.checked(rules))
    write.publish(Store(to), its, write.checked(rules), made)
    return curation.graph.open(to)


def contents(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


# ---- of a real dataset -----------------------------------------------------------------------------------------------


def test_places_patches_and_scenes_are_those_of_the_samples(built: Curate, graph: Graph):
    index = json.loads((built.folder / "shards/index.json").read_text())
    places, patches, scenes = (graph.nodes(n) for n in ("place", "patch", "scene"))
    assert places.num_rows == sum(s["samples"] for s in index["splits"].values())
    assert places.column("id").to_pylist() == sorted(places.column("id").to_pylist())
    assert set(places.column("id").to_pylist()) <= {tiny.name(r, c) for r in range(5) for c in range(5)}
    seasons = patches.column("season").to_pylist()
    assert set(seasons) == {"summer", "autumn"}
    # Where a place is, and what it was made of, is what its sample says in the tar.
    rows = {own["id"]: own for own in map(json.loads, _metas(built))}
    names = places.column("id").to_pylist()
    scene = scenes.column("id").to_pylist()
    seen = graph.edges("seen_by")
    for patch in range(patches.num_rows):
        own = rows[names[patches.column("place")[patch].as_py()]]
        facts = own["seasons"][seasons[patch]]["sources"]
        want = {f"{source}/{s}" for source, its in facts.items() for s in its["scenes"]}
        assert {scene[d] for d in seen.dst[seen.src == patch]} == want
        fractions = (own["seasons"][seasons[patch]]["labels"] or {}).get("fractions")
        if fractions is not None:
            np.testing.assert_array_equal(graph.labels("patch")[patch], np.float32(fractions))
    for n, name in enumerate(names):
        assert (places.column("lon")[n].as_py(), places.column("lat")[n].as_py()) == (
            rows[name]["lon"],
            rows[name]["lat"],
        )


def _metas(built: Curate) -> list[bytes]:
    out = []
    for tar in sorted((built.folder / "shards").rglob("*.tar")):
        with tarfile.open(tar) as its:
            out += [its.extractfile(m).read() for m in its if m.name.endswith(".meta.json")]
    return out


def test_where_samples_have_children_these_are_the_places(built: Curate):
    index = Index.from_bytes((built.folder / "shards/index.json").read_bytes())
    its = msgspec.structs.replace(index, children=2)
    own = json.loads(_metas(built)[0])
    found = released.FoundSamples("tiny", "", "", its.seasons, its.label_names)
    released._add(found, its, own | {"children": [own | {"id": "a"}, own | {"id": "b"}]}, "train", 3)
    released._add(found, its, own, "train", 4)  # a cell without any
    assert (found.ids, found.rows, found.patch_place) == (["a", "b"], [3, 3], [0, 0, 1, 1])
    assert set(found.scene_patch) == {0, 1, 2, 3}


def test_next_leads_from_summer_to_autumn_of_the_same_place_with_the_days_between(graph: Graph):
    patches, its = graph.nodes("patch"), graph.edges("next")
    place, season = patches.column("place").to_numpy(), np.array(patches.column("season").to_pylist())
    assert len(its.src) > 5
    assert (place[its.src] == place[its.dst]).all()
    assert set(season[its.src]) == {"summer"}
    assert set(season[its.dst]) == {"autumn"}
    time = patches.column("time_s").to_numpy()
    np.testing.assert_allclose(its.attributes["days"], (time[its.dst] - time[its.src]) / 86_400, rtol=1e-6)


def test_edges_are_sorted_int64_without_loops_and_both_ways_where_they_are_symmetric(graph: Graph):
    for name in graph.edge_entries:
        its = graph.edges(*name)
        assert its.src.dtype == its.dst.dtype == np.int64
        if not len(its.src):
            assert name[1] in ("like", "adjacent")  # seven places in one cell, all of them near
            continue
        key = its.dst * (its.src.max() + 1) + its.src
        assert (np.diff(key) > 0).all(), f"{name}: not sorted by (receiver, sender), or an edge twice"
        assert 0 <= its.src.min() <= its.src.max() < graph.node_entries[name[0]]["count"]
        assert 0 <= its.dst.min() <= its.dst.max() < graph.node_entries[name[2]]["count"]
        if name[1] in ("near", "like", "adjacent"):
            pairs = set(zip(its.src.tolist(), its.dst.tolist(), strict=True))
            assert pairs == {(b, a) for a, b in pairs}
        if name[0] == name[2]:
            assert (its.src != its.dst).all()
    degrees = np.bincount(graph.edges("near").dst)
    assert degrees.sum() == graph.edge_entries["place", "near", "place"]["count"]


def test_the_same_shards_give_the_same_bytes_and_what_is_there_is_not_made_again(
    built: Curate, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert built("graph", "--to", str(tmp_path / "again")) == 0
    assert contents(tmp_path / "again") == contents(folder)
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "again").rglob("*")}
    capsys.readouterr()
    assert built("graph", "--to", str(tmp_path / "again")) == 0
    assert "there already" in capsys.readouterr().out
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "again").rglob("*")} == before


@pytest.mark.parametrize("name", ["era5_cells", "nearby", "mesh"])
def test_the_mark_of_a_graph_has_all_that_makes_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = write._code.__wrapped__()
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: read(file) + b"#" * (file.stem == name))
    assert write._code.__wrapped__() != before


def test_other_rules_take_the_place_of_a_graph_and_leave_nothing_of_it(built: Curate, folder: Path, tmp_path: Path):
    to = tmp_path / "graph"
    shutil.copytree(folder, to)
    assert built("graph", "--to", str(to), "--edges", "near,next", "--k", "3") == 0
    assert set(contents(to)) == {
        *("graph.json", "nodes/place.arrow", "nodes/patch.arrow"),
        *("edges/place-near-place.arrow", "edges/patch-next-patch.arrow"),
    }


def test_what_is_not_a_graph_s_own_stays_where_it_is_written(tmp_path: Path):
    own = [tmp_path / name for name in ("nodes/thesis.txt", "nodes/a/place.arrow", "edges/roads-lead-rome.arrow")]
    for file in own:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    of(simulated(30), tmp_path, Rules(mesh=1))
    of(simulated(30), tmp_path, Rules(("near",)))
    assert [file.read_text() for file in own] == ["mine"] * 3
    assert {f for f in contents(tmp_path) if f.startswith("edges/")} == {
        "edges/place-near-place.arrow",
        "edges/roads-lead-rome.arrow",
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nodes": [1]}, "expected `object`"),
        ({"isolated": "3"}, "expected `int`"),
        ({"dataset": "\x1b[31m"}, "matching regex"),
        ({"follows_from": [1]}, "expected `object`"),
        ({"label_names": None}, "expected `array`"),
    ],
)
def test_what_tells_of_a_graph_is_refused_where_it_is_no_such(change: dict, says: str, folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "graph")
    index = tmp_path / "graph/graph.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | change))
    with pytest.raises(DamageError, match=rf"graph\.json: .*(?i:{says}).*; make the graph again"):
        curation.graph.open(tmp_path / "graph")


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("nodes", {"file": "../secret"}, "expected 'nodes/place.arrow'"),
        ("nodes", {"size": -1}, "Expected `int` >= 0"),
        ("edges", {"file": "edges/patch-next-patch.arrow"}, "expected 'edges/place-near-place.arrow'"),
        ("edges", {"derives_from": "fractions"}, "Expected `array`"),
        ("edges", {"source": "zebra"}, "'zebra' is not there"),
        ("edges", {"source": "patch", "relation": "next", "target": "patch"}, "is there twice"),
    ],
)
def test_entries_of_tables_are_of_this_graph_s_own_tables(
    part: str, change: dict, says: str, folder: Path, tmp_path: Path
):
    (tmp_path / "secret").write_text("whose hash nobody is told")
    shutil.copytree(folder, tmp_path / "graph")
    index = tmp_path / "graph/graph.json"
    value = json.loads(index.read_text())
    (value["nodes"]["place"] if part == "nodes" else value["edges"][0]).update(change)
    index.write_text(json.dumps(value))
    with pytest.raises(DamageError, match=says):
        curation.graph.open(tmp_path / "graph", check=False)


def test_edges_without_a_column_that_is_told_of_are_damage(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "graph")
    index = tmp_path / "graph/graph.json"
    index.write_text(index.read_text().replace('"bearing_cos"', '"wind"'))
    with pytest.raises(DamageError, match="no column 'wind'"):
        curation.graph.open(tmp_path / "graph").to_dict()


@pytest.mark.parametrize("dies_at", ["nodes/place.arrow", "edges/place-near-place.arrow", "graph.json"])
def test_killed_at_any_table_no_graph_is_told_and_the_same_command_makes_it_whole(
    dies_at: str, built: Curate, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    to, publish = tmp_path / "graph", Store.publish
    assert built("graph", "--to", str(to), "--k", "2") == 0  # another one stands there

    def dies(self: Store, key: str, data: bytes) -> object:
        if key == dies_at:
            raise KeyboardInterrupt
        return publish(self, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "publish", dies)
        assert built("graph", "--to", str(to)) == 130
    with pytest.raises(ConfigError, match="there is no graph"):
        curation.graph.open(to)
    assert built("graph", "--to", str(to)) == 0
    assert contents(to) == contents(folder)


def test_a_dry_run_counts_what_would_be_and_writes_nothing(
    built: Curate, graph: Graph, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert built("graph", "--to", str(tmp_path / "graph"), "--dry-run") == 0
    said = capsys.readouterr().out
    assert not (tmp_path / "graph").exists()
    for name, entry in graph.edge_entries.items():
        line = next(line for line in said.splitlines() if line.startswith(" ".join(name)))
        assert line.split()[3:] == [str(entry["count"]), str(entry["crossing"])]
    assert "nothing is written" in said


def test_a_byte_that_changed_is_noticed_before_anything_is_made_of_it(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "graph")
    file = tmp_path / "graph/edges/place-near-place.arrow"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamageError, match=r"place-near-place\.arrow: is not what graph\.json says"):
        curation.graph.open(tmp_path / "graph")
    assert len(curation.graph.open(tmp_path / "graph", check=False).verify()) == 1


def test_a_graph_that_is_damaged_is_made_again_and_not_taken_for_there(built: Curate, folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "graph")
    (tmp_path / "graph/nodes/place.arrow").write_bytes(b"gone")
    assert built("graph", "--to", str(tmp_path / "graph")) == 0
    assert contents(tmp_path / "graph") == contents(folder)


def test_facts_that_are_not_what_was_packed_make_no_graph(built: Curate, tmp_path: Path):
    run = built.copy(tmp_path / "root")
    tar = next((run.folder / "shards").rglob("*.tar"))
    tar.write_bytes(tar.read_bytes().replace(b'"id":"utm32n', b'"id":"utm33n'))
    with pytest.raises(DamageError, match="is not what was packed"):
        released.read(run.store)
    assert run("graph") == 1
    assert not (run.folder / "graph/graph.json").exists()


def test_a_dataset_that_is_not_finished_has_no_graph(built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = built.copy(tmp_path / "root")
    release = run.folder / "manifest/release.json"
    text = release.read_text()
    release.write_text(text.replace(json.loads(text)["index_sha256"], "0" * 64))
    assert run("graph") == 2
    assert "is of another index" in capsys.readouterr().err
    release.write_text("[]")
    assert run("graph") == 2
    assert "is of another index" in capsys.readouterr().err
    release.unlink()
    assert run("graph") == 2
    assert "did not end" in capsys.readouterr().err
    shutil.rmtree(run.folder / "shards")
    assert run("graph") == 2
    assert "`curate pack` first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--edges", "nears"), "did you mean near?"),
        (("--like", "embedding"), "has no such vectors; expected labels, none"),
        (("--radius-km", "-3"), "expected more than 0"),
        (("--radius-km", "nan"), "expected more than 0"),
        (("--k", "1000"), "expected 1 to 256"),
        (("--edges", "near,on"), "say --mesh N, too"),
        (("--edges", "near", "--mesh", "2"), "expected on or joins among --edges"),
        (("--edges", "near,like", "--like", "none"), "expected --like labels"),
    ],
)
def test_what_cannot_be_had_is_said(built: Curate, flags: tuple[str, ...], says: str, tmp_path: Path, capsys):
    assert built("graph", "--to", str(tmp_path / "graph"), *flags) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "graph").exists()


def test_verify_reads_a_dataset_s_graph_and_tells_one_of_an_earlier_packing(
    built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = built.copy(tmp_path / "root")
    assert run("graph") == 0
    assert run("verify") == 0
    table = run.folder / "graph/edges/place-near-place.arrow"
    whole = table.read_bytes()
    table.write_bytes(whole[:-1])
    assert run("verify") == 1
    assert "place-near-place.arrow: is not what graph.json says" in capsys.readouterr().out
    table.write_bytes(whole)
    index = run.folder / "graph/graph.json"
    said = json.loads(index.read_text())
    said["follows_from"]["index_sha256"] = "0" * 64
    index.write_text(json.dumps(said))
    assert run("verify") == 1
    assert "is of an earlier packing; run `curate graph` again" in capsys.readouterr().out
    index.write_text(json.dumps({"format": "curation-graph", "version": 1}))
    assert run("verify") == 1
    assert "graph.json: Object missing required field" in capsys.readouterr().out


def test_a_graph_beside_shards_that_were_packed_again_since_is_not_opened_for_theirs(built: Curate, tmp_path: Path):
    run = built.copy(tmp_path / "root")
    assert run("graph") == 0
    assert curation.graph.open(run.folder / "graph").nodes("place").num_rows
    index = run.folder / "shards/index.json"
    index.write_text(index.read_text() + " ")
    for path in (run.folder / "graph", run.folder / "graph/graph.json"):
        with pytest.raises(ConfigError, match="is of an earlier packing; run `curate graph` again"):
            curation.graph.open(path)
    assert curation.graph.open(run.folder / "graph", check=False).nodes("place").num_rows
    shutil.move(run.folder / "graph", tmp_path / "graph")  # of what stands beside it there, nothing is known
    assert curation.graph.open(tmp_path / "graph").nodes("place").num_rows


def test_a_column_that_is_called_as_label_fractions_are_is_refused(built: Curate, tmp_path: Path):
    run = built.copy(tmp_path / "root")
    index, release = run.folder / "shards/index.json", run.folder / "manifest/release.json"
    value = json.loads(index.read_text())
    value["columns"]["fractions"] = {"title": "of somebody", "kind": "number"}
    index.write_text(json.dumps(value))
    told = json.loads(release.read_text()) | {"index_sha256": hashlib.sha256(index.read_bytes()).hexdigest()}
    release.write_text(json.dumps(told))
    with pytest.raises(ConfigError, match="'fractions' is a column or an annotation"):
        released.read(run.store)


def test_the_row_of_a_place_is_that_of_its_sample(built: Curate, graph: Graph):
    index = json.loads((built.folder / "shards/index.json").read_text())
    for split, entry in index["splits"].items():
        ids = pq.read_table(built.folder / "shards" / entry["samples_table"]["name"]).column("id").to_pylist()
        its = [p for p in graph.nodes("place").select(["id", "split", "row"]).to_pylist() if p["split"] == split]
        assert {p["row"]: p["id"] for p in its} == dict(enumerate(ids))


def test_python_makes_the_same_graph_and_tells_it(built: Curate, folder: Path, tmp_path: Path):
    made = curation.load(built.world.recipe, built.root).graph(tmp_path / "graph")
    assert contents(tmp_path / "graph") == contents(folder)
    assert f"written to {tmp_path / 'graph'}" in str(made)
    assert "Graph of tiny: " in repr(curation.graph.open(tmp_path / "graph" / "graph.json"))


def test_what_is_not_installed_is_said_with_what_installs_it(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    for extra in ("graph", "pyg"):
        monkeypatch.setitem(extras.MODULES, extra, ("no_such_module",))
    with pytest.raises(ConfigError, match=r"pip install 'curation\[graph\]'"):
        graph.to_networkx()
    with pytest.raises(ConfigError, match=r"pip install 'curation\[pyg\]'"):
        graph.to_pyg()


def test_opening_a_graph_and_what_a_model_is_given_want_neither_scipy_nor_torch(folder: Path):
    code = (
        "import sys, curation\n"
        f"curation.graph.open({str(folder)!r}).to_dict()\n"
        "print({'scipy', 'torch', 'geopandas', 'zarr'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ---- of simulated ones -----------------------------------------------------------------------------------------------


def test_the_order_in_which_samples_are_read_changes_no_byte(tmp_path: Path):
    found = simulated(300)
    turned = dataclasses.replace(found)
    order = np.random.default_rng(3).permutation(300)
    for name in ("ids", "lon", "lat", "half_deg", "splits", "regions", "rows"):
        setattr(turned, name, [getattr(found, name)[i] for i in order])
    rank = np.argsort(order)
    patches = np.random.default_rng(4).permutation(600)
    turned.patch_place = rank[np.array(found.patch_place)[patches]].tolist()
    for name in ("patch_season", "time_s", "fractions"):
        setattr(turned, name, [getattr(found, name)[i] for i in patches])
    turned.scene_patch = np.argsort(patches)[np.array(found.scene_patch)].tolist()
    of(found, tmp_path / "a")
    of(turned, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_places_without_a_neighbour_are_listed(tmp_path: Path):
    found = simulated(40, seasons=1)
    found.lon, found.lat = [n * 0.1 for n in range(38)] + [90.0, -90.0], [10.0] * 40
    graph = of(found, tmp_path, Rules(radius_m=1e5))
    assert graph.isolated().tolist() == [38, 39]
    assert graph.info["isolated"] == 2


def test_a_place_that_is_there_twice_is_refused():
    found = simulated(3)
    found.ids[1] = found.ids[0]
    with pytest.raises(DamageError, match="twice"):
        released.ordered(found)


def test_edges_that_lead_across_splits_are_flagged_and_left_out_unless_they_are_asked_for(tmp_path: Path):
    graph = of(simulated(400), tmp_path, Rules(radius_m=3e6))
    split = np.array(graph.nodes("place").column("split").to_pylist())
    its = graph.edges("near")
    assert (its.crosses == (split[its.src] != split[its.dst])).all()
    assert its.crosses.any()
    value = graph.to_dict()
    for name in graph.edge_entries:
        assert not value[name]["crosses"].any()
        assert value[name]["edge_index"].shape[1] == (~graph.edges(*name).crosses).sum()
    assert graph.to_dict(across_splits=True)["place", "near", "place"]["edge_index"].shape[1] == len(its.src)


def test_nothing_of_a_held_out_place_reaches_another_split_along_any_edges(tmp_path: Path):
    found = simulated(500)
    found.lon, found.lat = [x / 60 for x in found.lon], [y / 60 for y in found.lat]
    found.half_deg = [(0.3, 0.3)] * 500  # many cells are shared
    found.scene_name = [f"s/{n % 40}" for n in range(1000)]  # and so are scenes
    graph = of(found, tmp_path, Rules(radius_m=5e4, mesh=5))
    split, held = np.array(graph.nodes("place").column("split").to_pylist()), graph.edges("in")
    shared = [len(set(split[held.src[held.dst == cell]])) > 1 for cell in range(graph.node_entries["cell"]["count"])]
    assert any(shared)
    np.testing.assert_array_equal(held.crosses, np.array(shared)[held.dst])
    value = graph.to_dict()
    assert sum(v["edge_index"].shape[1] for k, v in value.items() if isinstance(k, tuple)) > 1000
    # What can be reached from `val`, along edges in either direction, is none of `train`.
    reached = {n: its["val_mask"].copy() for n, its in value.items() if isinstance(n, str)}
    for _ in range(50):
        for name, its in value.items():
            if isinstance(name, tuple):
                src, dst = its["edge_index"]
                reached[name[2]][dst[reached[name[0]][src]]] = True
                reached[name[0]][src[reached[name[2]][dst]]] = True
    assert not (reached["place"] & value["place"]["train_mask"]).any()
    assert not (reached["patch"] & value["patch"]["train_mask"]).any()


def test_edges_that_derive_from_a_target_are_refused_for_it(tmp_path: Path):
    graph = of(simulated(200), tmp_path)
    name = ("patch", "like", "patch")
    assert name in graph.to_dict()
    value = graph.to_dict(target="fractions")
    assert name not in value
    assert "fractions" not in value["patch"]
    np.testing.assert_array_equal(value["patch"]["y"], graph.labels("patch"))
    assert value["patch"]["x"].shape == (400, 5)
    with pytest.raises(ConfigError, match="edges 'like' derive from fractions"):
        graph.to_dict(target="fractions", edges=["near", "like"])
    with pytest.raises(ConfigError, match="there is none such; expected fractions"):
        graph.to_dict(target="crop")


def test_vectors_and_columns_are_targets_of_their_own(tmp_path: Path):
    found = simulated(120)
    found.vectors = {"embedding": np.random.default_rng(0).normal(size=(120, 24)).astype(np.float32)}
    found.vectors["embedding"][7] = np.nan
    found.columns = {"crop": ["wheat" if n % 2 else None for n in range(120)], "yield": [float(n) for n in range(120)]}
    graph = of(found, tmp_path, Rules(like="embedding"))
    its = graph.edges("like")
    assert graph.edge_type("like") == ("place", "like", "place")
    vectors = found.vectors["embedding"]
    cosine = (vectors[its.src] * vectors[its.dst]).sum(1) / np.prod(
        [np.linalg.norm(vectors[e], axis=1) for e in (its.src, its.dst)], axis=0
    )
    np.testing.assert_allclose(its.attributes["similarity"], cosine, atol=1e-5)
    assert 7 not in its.src
    with pytest.raises(ConfigError, match="derive from embedding"):
        graph.to_dict(target="embedding", edges=["like"])
    value = graph.to_dict(target="crop")
    assert value["place"]["y"].tolist()[:4] == [-1, 0, -1, 0]
    assert "of_crop" not in value["place"]
    assert value["place"]["of_yield"].tolist() == list(range(120))


def test_places_of_one_sample_are_not_told_to_be_alike_for_sharing_its_vectors():
    found = simulated(120, seasons=1)
    found.splits = ["train", "val"] * 60
    found.rows = [n // 20 for n in range(120)]  # of ten places each, the same rows in both splits
    draw = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    found.vectors = {"embedding": draw[[2 * (n // 20) + n % 2 for n in range(120)]]}
    its = released.ordered(found)
    edges_of = edges.similar(its, Rules(like="embedding"), (np.empty(0, np.int64),) * 2)
    sample = np.array([2 * (n // 20) + n % 2 for n in range(120)])
    assert len(edges_of.src)
    assert (sample[edges_of.src] != sample[edges_of.dst]).all()
    one, other = (sample[e] for e in (edges_of.src, edges_of.dst))
    assert (one // 2 == other // 2).any(), "of another split, in the same row"


def test_like_is_mutual_and_never_between_neighbours_and_brute_force_finds_the_same():
    its = released.ordered(simulated(60))
    near = edges.near(its, Rules(k=3, radius_m=2e7))
    found = edges.similar(its, Rules(like_k=4), (near.src, near.dst))
    close = set(zip(near.src.tolist(), near.dst.tolist(), strict=True))
    root = np.sqrt(its.fractions.astype(np.float64))
    far = np.sqrt(((root[:, None] - root) ** 2).sum(-1) / 2)
    best: dict[int, set[int]] = {}
    for n in range(len(far)):
        mine = int(its.patch_place[n])
        others = [
            m
            for m in np.argsort(far[n]).tolist()
            if its.patch_place[m] != mine and (mine, int(its.patch_place[m])) not in close
        ]
        best[n] = set(others[:4])
    want = {(a, b) for a in best for b in best[a] if a in best[b]}
    assert set(zip(found.src.tolist(), found.dst.tolist(), strict=True)) == want
    np.testing.assert_allclose(found.attributes["similarity"], 1 - far[found.src, found.dst], atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_dataset_without_labels_or_with_hardly_a_place_has_what_there_is(count: int, tmp_path: Path):
    found = simulated(count)
    if not count % 2:
        found.label_names, found.fractions = (), [()] * (2 * count)
    graph = of(found, tmp_path, Rules(mesh=0))
    relations = {t[1] for t in graph.edge_entries}
    assert relations == set(edges.KINDS) - ({"like"} if not count % 2 else set())
    value = graph.to_dict()
    assert [value[n]["x"].shape for n in ("place", "patch")] == [(count, 3), (2 * count, 5)]
    assert graph.edges("near").src.tolist() == []
    assert graph.measures().keys() == (set() if count != 1 else {("patch", "next", "patch")})


def test_of_patches_that_are_all_alike_the_same_are_joined_in_whatever_order():
    found = simulated(80, seasons=1)
    found.fractions = [[1.0, 0.0, 0.0]] * 80
    one = edges.similar(released.ordered(found), Rules(), (np.empty(0, np.int64),) * 2)
    order = np.random.default_rng(0).permutation(80)
    for name in ("ids", "lon", "lat", "half_deg", "splits"):
        setattr(found, name, [getattr(found, name)[i] for i in order])
    other = edges.similar(released.ordered(found), Rules(), (np.empty(0, np.int64),) * 2)
    assert len(one.src) > 80
    np.testing.assert_array_equal(one.src, other.src)
    np.testing.assert_array_equal(one.dst, other.dst)


def test_a_place_that_is_added_changes_edges_and_blocks_around_it_alone(tmp_path: Path):
    found = simulated(3000, seasons=1)
    rules = Rules(kinds=("near",), radius_m=2e6)
    before = of(found, tmp_path / "a", rules)
    for name, value in (("ids", "q"), ("lon", 10.0), ("lat", 50.0), ("half_deg", (0.01, 0.01)), ("splits", "train")):
        getattr(found, name).append(value)
    found.regions.append("world")
    found.rows.append(3000)
    after = of(found, tmp_path / "b", rules)  # its id comes last: all others have the number that they had
    one, other = before.edges("near"), after.edges("near")
    pairs = [set(zip(e.src.tolist(), e.dst.tolist(), strict=True)) for e in (one, other)]
    points = unit(np.array(found.lon), np.array(found.lat))
    changed = np.array(sorted({n for pair in pairs[0] ^ pairs[1] for n in pair}))
    assert len(changed)
    assert np.linalg.norm(points[changed] - points[-1], axis=1).max() < 2 * np.sin(2e6 * 2 / 6.37e6 / 2)
    cores = [{b.name: tuple(b.places[b.is_core]) for b in g.blocks(most=100)} for g in (before, after)]
    differ = [n for n in cores[0].keys() | cores[1].keys() if cores[0].get(n) != cores[1].get(n)]
    assert len(cores[0]) > 20
    assert {n[:5] for n in differ} == {differ[0][:5]}, "one block, or what it was halved into"


# ---- blocks ----------------------------------------------------------------------------------------------------------


def test_each_place_is_of_one_core_and_within_a_halo_all_is_computed_as_in_the_whole(tmp_path: Path):
    found = simulated(2000, seasons=1)
    graph = of(found, tmp_path, Rules(radius_m=1e6))
    field = smooth(np.array(found.lon), np.array(found.lat))
    near = graph.edges("near")

    def mean(values: np.ndarray, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        count = np.bincount(dst, minlength=len(values))
        return (values + np.bincount(dst, values[src], len(values))) / (count + 1)

    whole = mean(mean(field, near.src, near.dst), near.src, near.dst)
    seen = np.zeros(2000, int)
    for block in graph.blocks(most=300, hops=2):
        value = graph.to_dict(places=block.places, across_splits=True)
        np.testing.assert_array_equal(value["place"]["number"], block.places)
        src, dst = value["place", "near", "place"]["edge_index"]
        part = mean(mean(field[block.places], src, dst), src, dst)
        core = block.places[block.is_core]
        assert len(core) <= 300
        np.testing.assert_allclose(part[block.is_core], whole[core])
        seen[core] += 1
        patches = graph.nodes("patch").column("place").to_numpy()[value["patch"]["number"]]
        assert set(patches.tolist()) == set(block.places.tolist())
    assert (seen == 1).all()
    with pytest.raises(ConfigError, match="expected at least 1"):
        next(graph.blocks(most=0))
    with pytest.raises(ConfigError, match=r"places of bool: .* np\.flatnonzero"):
        graph.to_dict(places=block.is_core)
    assert graph.to_dict(places=np.array([]))["place"]["x"].shape == (0, 3)


# ---- what edges are good for -----------------------------------------------------------------------------------------


def test_two_means_over_near_recover_a_smooth_field_and_over_shuffled_edges_they_do_not(tmp_path: Path):
    found = simulated(2000, seasons=1)
    near = of(found, tmp_path, Rules(kinds=("near",), radius_m=2e6)).edges("near")
    truth = smooth(np.array(found.lon), np.array(found.lat))
    noisy = truth + np.random.default_rng(5).normal(0, truth.std(), 2000)

    def error(src: np.ndarray, dst: np.ndarray) -> float:
        values = noisy
        for _ in range(2):
            values = (values + np.bincount(dst, values[src], 2000)) / (np.bincount(dst, minlength=2000) + 1)
        return float(np.sqrt(np.mean((values - truth) ** 2)))

    alone = float(np.sqrt(np.mean((noisy - truth) ** 2)))
    src, dst = curation.graph.shuffled(near.src, near.dst, seed=1)
    assert error(near.src, near.dst) < 0.4 * alone
    assert error(src, dst) > 0.8 * alone
    np.testing.assert_array_equal(np.bincount(src), np.bincount(near.src))
    np.testing.assert_array_equal(np.bincount(dst), np.bincount(near.dst))
    assert (src != dst).all()
    truth -= truth.mean()
    assert measures.morans_i(near.src, near.dst, truth) > 0.9
    assert abs(measures.morans_i(src, dst, truth)) < 0.1


def test_homophily_and_morans_i_are_told_by_kind_of_edges(tmp_path: Path):
    told = of(simulated(800), tmp_path, Rules(radius_m=2e6)).measures()
    assert set(told) == {("place", "near", "place"), ("patch", "next", "patch"), ("patch", "like", "patch")}
    assert told["place", "near", "place"]["morans_i"] > 0.5
    assert 0.2 < told["place", "near", "place"]["homophily"] < 1
    one, other = np.array([0, 1, 2, 3]), np.array([1, 0, 3, 2])
    assert measures.homophily(one, other, np.array([0, 0, 1, 1])) == 0.5
    assert measures.morans_i(one, other, np.array([1.0, 1, -1, -1])) == 1
    assert measures.morans_i(one, other, np.array([1.0, -1, 1, -1])) == -1
    assert np.isnan(measures.morans_i(one, other, np.ones(4)))


def test_turned_with_the_globe_a_graph_has_the_same_near_edges(tmp_path: Path):
    found = simulated(500, seasons=1)
    before = of(found, tmp_path / "a", Rules(kinds=("near",), radius_m=2e6)).edges("near")
    lon, lat = lonlat(scattered(500, 0) @ rotation(9).T)
    found.lon, found.lat = lon.tolist(), lat.tolist()
    after = of(found, tmp_path / "b", Rules(kinds=("near",), radius_m=2e6)).edges("near")
    np.testing.assert_array_equal(before.src, after.src)
    np.testing.assert_array_equal(before.dst, after.dst)
    np.testing.assert_allclose(before.attributes["distance_m"], after.attributes["distance_m"], rtol=0.01)
