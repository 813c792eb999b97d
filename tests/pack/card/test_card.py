"""Cards say what index, tables and recipe say, in the words of each format, and nothing that nobody said."""

import copy
import dataclasses
import datetime as dt
import hashlib
import io
import json
import re
import types
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pystac
import pytest
import shapely
from pystac.extensions.file import FileExtension
from pystac.extensions.scientific import ScientificExtension

import curation
from curation.api.folder import DatasetFolder
from curation.errors import ConfigError, DamageError
from curation.format.index import Index
from curation.model import DatedSeason
from curation.pack.card import card, facts
from curation.pack.card.card import CardRecord
from curation.pack.card.facts import CardFacts
from curation.store.objects import Store
from tests.pack.card.conftest import said
from tests.run import Curate


@pytest.fixture(scope="module")
def its(built: Curate) -> CardFacts:
    return card.release_facts(built.dataset, built.store)


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / "card" / name).read_text())


def test_packing_writes_them_and_they_follow_from_what_it_wrote(built: Curate, its: CardFacts):
    record = card.record_of(built.store)
    assert record is not None
    files = {p.relative_to(built.folder / "card").as_posix() for p in (built.folder / "card").rglob("*") if p.is_file()}
    assert (
        files
        == {*record.files, "card.json"}
        >= {"README.md", "croissant.json", "datacite.json", "stac/collection.json"}
    )
    again = card.files(its, "../shards", ())
    assert {k: hashlib.sha256(v).hexdigest() for k, v in again.items()} == record.files
    assert record.index_sha256 == hashlib.sha256((built.folder / "shards/index.json").read_bytes()).hexdigest()


def test_each_shard_is_named_with_the_hash_of_its_bytes(built: Curate, its: CardFacts):
    hashes = {
        p.relative_to(built.folder / "shards").as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in (built.folder / "shards").rglob("*.tar")
    }
    files = {f["@id"]: f for f in read(built.folder, "croissant.json")["distribution"] if f["@type"] == "cr:FileObject"}
    assert {k: f["sha256"] for k, f in files.items() if k.endswith(".tar")} == hashes
    for file in files.values():
        path = (built.folder / "card" / file["contentUrl"]).resolve()
        assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert file["contentSize"] == f"{path.stat().st_size} B"
    page = (built.folder / "card/README.md").read_text()
    assert all(sha256 in page for sha256 in hashes.values())


def test_what_is_read_first_is_train_whatever_parts_there_are(its: CardFacts):
    splits = its.index.splits
    index = msgspec.structs.replace(its.index, splits={"id_test": splits["train"], **splits})
    for of, first in (
        (index, "train"),
        (msgspec.structs.replace(index, splits={"id_test": splits["train"]}), "id_test"),
    ):
        page = card.files(dataclasses.replace(its, index=of), "../shards", ())["README.md"].decode()
        assert f'samples = open_shards("../shards", "{first}"' in page
        assert "by rule `blocks`, lie " in page


def test_a_shard_that_is_another_makes_all_cards_that_name_it_others(built: Curate, its: CardFacts):
    value = json.loads((built.folder / "shards/index.json").read_text())
    for change in ("another", "permuted"):
        other = copy.deepcopy(value)
        shards = other["splits"]["train"]["shards"]
        if change == "another":
            shards[0]["sha256"] = "0" * 64
        else:
            shards[0]["sha256"], shards[1]["sha256"] = shards[1]["sha256"], shards[0]["sha256"]
        index = Index.from_json(other)
        tables = {s: (built.folder / "shards" / s / "samples.parquet").read_bytes() for s in index.splits}
        changed = facts.facts_of(built.dataset, index.to_bytes(), tables)
        assert card.follows_from(changed) != card.follows_from(its)
        before, after = (card.files(f, "../shards", ()) for f in (its, changed))
        differ = {k for k in before if before[k] != after[k]}
        assert {"README.md", "croissant.json", "stac/train/tiny-train-000000.json"} <= differ


def test_what_nobody_observed_is_told_first_in_every_card_and_is_derived_from_nothing(built: Curate, its: CardFacts):
    value = json.loads((built.folder / "shards/index.json").read_text())
    assert "Synthetic" not in "".join(v.decode() for v in card.files(its, "../shards", ()).values())
    value["counts"]["catalogs"] |= {"s2l2a": "embedded", "s1rtc": "embedded"}
    tables = {s: (built.folder / "shards" / s / "samples.parquet").read_bytes() for s in value["splits"]}
    made = facts.facts_of(built.dataset, Index.from_json(value).to_bytes(), tables)
    written = {name: data.decode() for name, data in card.files(made, "../shards", ()).items()}
    for name in ("README.md", "croissant.json", "datacite.json", "stac/collection.json"):
        assert "Synthetic: pixels of " in written[name], name
        assert '"synthetic"' in written[name], name
    page = written["README.md"]
    stands = [line for line in page.splitlines() if "Synthetic, none of it is theirs" in line]
    assert [line.split("`")[1] for line in stands] == ["s1rtc", "s2l2a"]
    assert page.index("Synthetic: ") < page.index("samples of co-registered pixels")
    urls = {s.name: s.about for s in made.sources if s.about}
    derived = [r["relatedIdentifier"] for r in json.loads(written["datacite.json"])["relatedIdentifiers"]]
    assert urls["s2l2a"] not in derived
    assert {urls["dem"].removeprefix("https://doi.org/")} <= {*derived}
    assert urls["s2l2a"] not in json.loads(written["croissant.json"])["isBasedOn"]
    links = json.loads(written["stac/collection.json"])["links"]
    assert urls["s2l2a"] not in [link["href"] for link in links if link["rel"] == "derived_from"]


def test_boxes_have_the_order_that_each_format_wants(built: Curate, its: CardFacts):
    tables = [pq.read_table(p) for p in sorted((built.folder / "shards").glob("*/samples.parquet"))]
    boxes = np.concatenate([shapely.bounds(shapely.from_wkb(t["geometry"].to_pylist())) for t in tables if t.num_rows])
    west, south, east, north = *boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)
    assert south > 54 > 53 > 7 > west > 6  # so that no order is like another
    geo = read(built.folder, "croissant.json")["spatialCoverage"]["geo"]["box"]
    assert [float(v) for v in geo.split()] == [south, west, north, east]
    box = read(built.folder, "datacite.json")["geoLocations"][0]["geoLocationBox"]
    assert list(box.values()) == [west, east, south, north]
    assert list(box) == ["westBoundLongitude", "eastBoundLongitude", "southBoundLatitude", "northBoundLatitude"]
    assert read(built.folder, "stac/collection.json")["extent"]["spatial"]["bbox"] == [[west, south, east, north]]


def test_geocroissant_has_the_bands_in_nanometres(built: Curate):
    value = read(built.folder, "croissant.json")
    assert value["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/geo/1.0"]
    assert value["geocr:spatialResolution"] == {"@type": "QuantitativeValue", "value": 10.0, "unitText": "m"}
    ten = next(r for r in value["recordSet"] if r["@id"] == "s2l2a_10m.summer")["field"][1]
    assert ten["geocr:bandConfiguration"]["geocr:bandNameList"] == ["s2.b02", "s2.b03", "s2.b04", "s2.b08"]
    assert ten["geocr:bandConfiguration"]["geocr:totalBands"] == 4
    blue = ten["geocr:spectralBandMetadata"][0]
    assert blue["geocr:centerWavelength"] == {"@type": "QuantitativeValue", "value": 492.4, "unitText": "nm"}
    assert blue["geocr:bandwidth"] == {"@type": "QuantitativeValue", "value": 66.0, "unitText": "nm"}
    assert value["temporalCoverage"] == "2021-06-01/2021-11-30"
    assert value["geocr:spatialIndex"][0].startswith("majortom-10km:")
    named = {b["name"] for b in value["geocr:spectralBandMetadata"]}
    assert "s1.vv" in named  # a radar has its wavelength, too
    assert not any(n.startswith("dem") for n in named)  # heights have none, and not 0


def test_the_vocabulary_knows_each_property_of_geocroissant(built: Curate, shared: Path):
    known = set(
        re.findall(r"^geocr:(\w+) a rdf", (shared / "data/croissant-geo/croissant_geo.ttl").read_text(), re.MULTILINE)
    )
    text = (built.folder / "card/croissant.json").read_text()
    # The specification and its example say bandNameList, its vocabulary bandNamesList.
    assert set(re.findall(r'"geocr:(\w+)"', text)) - known == {"bandNameList"}


def test_the_context_is_that_of_the_published_example(built: Curate, shared: Path):
    theirs = json.loads((shared / "data/croissant-geo/geocroissant_hls_burn_scars.json").read_text())["@context"]
    ours = read(built.folder, "croissant.json")["@context"]
    assert {k: ours.get(k) for k in theirs} == theirs


def test_every_source_is_attributed_in_every_card(built: Curate, its: CardFacts):
    assert {s.name for s in its.sources} == set(its.index.sources) >= {"s2l2a", "s1rtc", "dem", "worldcover"}
    page = (built.folder / "card/README.md").read_text()
    value, collection = read(built.folder, "croissant.json"), read(built.folder, "stac/collection.json")
    record = read(built.folder, "datacite.json")
    for source in its.sources:
        assert source.terms is not None
        assert source.attribution in page
        assert source.attribution in value["creditText"]
        assert collection["curation:attribution"][source.name] == source.attribution
        assert source.terms.url in value["license"]
        assert source.terms.url in {link["href"] for link in collection["links"] if link["rel"] == "license"}
        rights = [r for r in record["rightsList"] if r["rights"].startswith(source.title)]
        assert [r["rightsUri"] for r in rights] == [source.terms.url]
    derived = {r["relatedIdentifier"]: r for r in record["relatedIdentifiers"]}
    assert {r["relationType"] for r in derived.values()} == {"IsDerivedFrom"}
    assert derived["10.5281/zenodo.7254221"]["relatedIdentifierType"] == "DOI"


def test_what_nobody_said_is_left_out_and_told(built: Curate, its: CardFacts):
    assert its.spec.missing == ("creators", "publisher", "identifier", "published", "version", "licence")
    record, value = read(built.folder, "datacite.json"), read(built.folder, "croissant.json")
    assert {"doi", "identifiers", "creators", "publisher", "publicationYear", "version"} & record.keys() == set()
    assert {"identifier", "creator", "publisher", "datePublished", "version", "citeAs", "url"} & value.keys() == set()
    page = (built.folder / "card/README.md").read_text()
    assert "Not said by its publisher: creators, publisher, identifier, published, version, licence" in page
    assert "license: other\nlicense_name: those-of-its-sources\n" in page


def test_what_the_publisher_says_stands_in_every_card(published: DatasetFolder, tmp_path: Path):
    before = {k: hashlib.sha256(v.read_bytes()).hexdigest() for k, v in _shards(tmp_path).items()}
    made = published.card(pictures=False)
    assert made.missing == ()
    folder = tmp_path / "root/tiny"
    record, value = read(folder, "datacite.json"), read(folder, "croissant.json")
    assert record["doi"] == "10.1234/tiny.1"
    assert (record["publisher"], record["publicationYear"], record["version"]) == ("A Publisher", 2026, "1.2.0")
    assert [c["name"] for c in record["creators"]] == ["An Institute", "Doe, Jane"]
    assert [c["nameType"] for c in record["creators"]] == ["Organizational", "Personal"]
    assert [c["@type"] for c in value["creator"]] == ["Organization", "Person"]
    assert record["creators"][1]["nameIdentifiers"][0]["nameIdentifier"] == "https://orcid.org/0000-0002-1825-0097"
    assert record["types"]["resourceTypeGeneral"] == "Dataset"
    assert record["titles"] == [{"title": "Tiny squares of the German Bight"}]
    assert value["datePublished"] == "2026-11-30"
    assert value["citeAs"] == (
        "An Institute; Doe, Jane (2026). Tiny squares of the German Bight. A Publisher. https://doi.org/10.1234/tiny.1"
    )
    collection = pystac.Collection.from_file(str(folder / "card/stac/collection.json"))
    assert ScientificExtension.ext(collection).doi == "10.1234/tiny.1"
    assert collection.license == "CC-BY-4.0"
    assert "license: cc-by-4.0\n" in (folder / "card/README.md").read_text()
    assert published.verify().found.faults == []  # the recipe's digests are what they were
    assert {k: hashlib.sha256(v.read_bytes()).hexdigest() for k, v in _shards(tmp_path).items()} == before


def _shards(folder: Path) -> dict[str, Path]:
    return {str(p): p for p in sorted((folder / "root/tiny/shards").rglob("*")) if p.is_file()}


def test_pystac_walks_the_collection_to_each_shard(built: Curate, its: CardFacts):
    collection = pystac.Collection.from_file(str(built.folder / "card/stac/collection.json"))
    items = {i.id: i for i in collection.get_items()}
    template = items.pop("tiny-model-input")
    assert len(items) == len(its.shards)
    for item in items.values():
        asset = item.assets["shard"]
        path = Path(asset.get_absolute_href())
        told = FileExtension.ext(asset)
        assert told.checksum == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
        assert told.size == path.stat().st_size
        assert item.properties["curation:samples"] > 0
        assert shapely.geometry.shape(item.geometry).bounds == tuple(item.bbox)
        assert item.common_metadata.start_datetime.isoformat() == "2021-06-01T00:00:00+00:00"
    for asset in collection.assets.values():
        assert Path(asset.get_absolute_href()).is_file(), asset.href
    assert template.properties["mlm:tasks"] == ["scene-classification"]


@pytest.mark.torch
def test_the_template_states_what_the_reader_gives(built: Curate):
    from curation.stream import open_shards

    template = read(built.folder, "stac/model-input.json")
    listed = {b["name"] for b in template["assets"]["model"]["eo:bands"]}
    names = ["s2l2a_10m", "s2l2a_20m", "s1rtc_10m"]
    how: dict[str, Any] = {"batch_size": 2, "seasons": ["summer"], "fields": names}
    raw, scaled = (next(iter(open_shards(built.folder / "shards", "train", normalize=n, **how))) for n in (False, True))
    inputs = {i["name"]: i for i in template["properties"]["mlm:input"]}
    assert {"s2l2a_10m", "s1rtc_10m", "dem_30m"} <= set(inputs)
    assert "value_scaling" not in inputs["dem_30m"]  # a plain has no deviation to be divided by
    for name in names:
        given = inputs[name]
        pixels = raw[name][:, 0]  # of the one season
        assert given["input"]["shape"] == [-1, *pixels.shape[1:]]
        assert given["input"]["data_type"] == str(pixels.dtype).removeprefix("torch.")
        assert set(given["bands"]) <= listed
        for n, its in enumerate(given["value_scaling"]):
            expected = (pixels[:, n].double() - its["mean"]) / its["stddev"]
            assert np.allclose(scaled[name][:, 0, n].double().numpy(), expected.numpy(), atol=1e-4)


def test_a_footprint_across_the_antimeridian_makes_the_box_the_worlds_width():
    boxes = np.array([(179.9, -17.1, 180.1, -17.0), (10.0, 50.0, 10.1, 50.1)])
    assert facts._joined(boxes) == (-180.0, -17.1, 180.0, 50.1)
    assert facts._joined(boxes[1:]) == (10.0, 50.0, 10.1, 50.1)
    assert facts._joined(boxes[:0]) == (-180.0, -90.0, 180.0, 90.0)


def test_seasons_around_dates_span_from_the_first_to_the_last_of_any_sample():
    days = [dt.datetime(2021, 5, d, 13, tzinfo=dt.UTC) for d in (20, 3, 11)]
    seasons = {"pre": DatedSeason("pre", "event", -3, -1), "never": DatedSeason("never", "other", 0, 0)}
    dataset = types.SimpleNamespace(recipe=types.SimpleNamespace(season=seasons.__getitem__))
    tables = [pa.table({"event": days[:2]}), pa.table({"event": [*days[2:], None]})]
    found = facts._windows(dataset, types.SimpleNamespace(seasons=tuple(seasons)), tables)
    assert found == {"pre": (dt.datetime(2021, 4, 30, tzinfo=dt.UTC), dt.datetime(2021, 5, 20, tzinfo=dt.UTC))}


def test_a_page_of_many_shards_leaves_their_hashes_to_the_card_for_machines(its: CardFacts):
    many = dataclasses.replace(its, shards=its.shards * 200)
    assert its.shards[0].entry.sha256 not in card.files(many, "../shards", ())["README.md"].decode()
    assert its.shards[0].entry.sha256 in card.files(its, "../shards", ())["README.md"].decode()


def test_a_rerun_writes_nothing_and_one_that_was_killed_is_gone_on_with(published: DatasetFolder, tmp_path: Path):
    published.card(pictures=False)
    folder = tmp_path / "root/tiny/card"
    times = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    published.card(pictures=False)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == times
    whole = {p: p.read_bytes() for p in times if p.is_file()}
    (folder / "card.json").unlink()  # as where it was killed before the end
    (folder / "datacite.json").write_text("half")
    (folder / "stac/left-behind.json").write_text("{}")
    published.card(pictures=False)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == whole


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[split]\n", "[split]\nbuffer_km = 7\n", r"\[split\] buffer_km"),
        ("seed = ", "seed = 1", "seed"),
        ("start = 2021-06-01", "start = 2021-05-01", r"\[seasons\] summer"),
    ],
)
def test_cards_tell_of_no_recipe_that_the_release_was_not_packed_by(
    built: Curate, tmp_path: Path, old: str, new: str, told: str
):
    recipe = built.world.recipe.read_text()
    made = said(built, tmp_path, "")
    assert recipe.count(old) == 1
    (tmp_path / "recipe.toml").write_text(recipe.replace(old, new))
    other = curation.load(tmp_path / "recipe.toml", tmp_path / "root", catalog=str(built.world.catalog))
    with pytest.raises(ConfigError, match=told + r": not what the release was packed by"):
        other.card(pictures=False)
    assert made.card(pictures=False).files


def test_there_are_no_cards_without_a_release(built: Curate, tmp_path: Path):
    with pytest.raises(ConfigError, match="nothing is packed there"):
        card.release_facts(built.dataset, Store(tmp_path))


def test_no_card_is_made_of_a_table_that_is_not_the_index_s(built: Curate, tmp_path: Path):
    mine = built.copy(tmp_path)
    table = mine.folder / "shards/train/samples.parquet"
    out = io.BytesIO()
    pq.write_table(pq.read_table(table).slice(1), out)
    table.write_bytes(out.getvalue())
    with pytest.raises(DamageError, match=r"samples\.parquet: is not what the index says"):
        card.release_facts(mine.dataset, mine.store)


def test_a_record_leads_nowhere_else(tmp_path: Path):
    store = Store(tmp_path)
    record = CardRecord("a", "b", {"../shards/index.json": "c"})
    store.publish("card/card.json", record.to_bytes())
    with pytest.raises(DamageError, match="expected one below it"):
        card.record_of(store)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('identifier = "doi 10.1"', "expected a DOI"),
        ('published = "2026"', "published"),
        ('version = "1"', "version"),
        ('url = "example.org"', "expected a URL"),
        ('author = "x"', "known keys"),
        ('licence = "free: ask"', "licence"),
        ('creators = [{ name = "A", orcid = "1" }]', "orcid"),
    ],
)
def test_what_cannot_be_is_refused_by_key(built: Curate, tmp_path: Path, line: str, told: str):
    with pytest.raises(ConfigError, match=told):
        said(built, tmp_path, f"\n[card]\n{line}\n")
