"""Searches are saved, and replayed."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.cli import main
from curation.errors import ConfigError, CurationError, printable
from curation.outcomes import SLAB, Status
from curation.read import ranges
from curation.recipe.catalogs import Catalogs, resolve
from curation.recipe.dataset import Dataset
from curation.scenes import api, saved
from curation.scenes.cells import SearchCell
from curation.scenes.saved import Searches
from curation.store.ledger import Ledger
from curation.store.objects import Store
from tests.archive import Archive
from tests.loopback import Request, serving
from tests.run import Curate
from tests.scenes.catalog import CELL, NAMES, Served, item
from tests.scenes.test_remotefile import written
from tests.world import World


def searches(dataset: Dataset, url: str, folder: Path) -> tuple[Searches, list[Any]]:
    made = Searches(dataset, Catalogs(resolve(url)), Store(folder))
    return made, [(dataset.specs["s2l2a"], dataset.recipe.season("summer").always, CELL)]


def test_a_saved_search_is_replayed_with_the_server_gone(api, dataset, tmp_path):
    made, url = api
    first, wanted = searches(dataset, url, tmp_path)
    assert first.run(wanted) == []
    scenes = first.scenes(*wanted[0])
    assert [s.id for s in scenes] == NAMES
    asked = made.requests
    made.faults = ["503"] * 1000
    again, wanted = searches(dataset, url, tmp_path)
    assert again.run(wanted) == []
    assert again.scenes(*wanted[0]) == scenes
    assert [s.hrefs for s in again.scenes(*wanted[0])] == [s.hrefs for s in scenes]
    assert made.requests == asked


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["api", "files"])
def test_an_error_of_a_search_goes_to_workers_with_what_may_be_told_and_nothing_else(
    dataset, tmp_path, monkeypatch, kind
):
    # A worker would record its causes, and does not know which of that is secret.
    monkeypatch.setattr(printable, "_known", set())
    monkeypatch.setattr(api, "BACKOFF_S", 0)
    monkeypatch.setattr(ranges, "PAUSE_S", 0)
    served, archive = Served([item("s00")]), Archive({"part-0.parquet": written(tmp_path).read_bytes()})
    refused = False

    def answer(request: Request) -> None:
        if refused:
            request.send(503, b"no: S3CRET-1")
        else:
            (served if kind == "api" else archive).answer(request)

    with serving(answer) as url:
        where = f"{url}?token=S3CRET-1" if kind == "api" else f"{url}/part-0.parquet?sig=S3CRET-1"
        made, wanted = searches(dataset, where, tmp_path / "store")
        endpoint = made.endpoint(made.catalogs.default)
        refused = True
        with pytest.raises(CurationError) as caught:
            endpoint.search(made._query(*wanted[0]))
        was = repr(list(_causes(caught.value)))
        assert "S3CRET-1" in was if kind == "api" else "HTTP 503" in was
        ((work, err),) = made.ahead([("work", wanted)])
    assert (work, type(err)) == ("work", type(caught.value))
    assert list(_causes(err)) == []
    assert "S3CRET" not in f"{err}{vars(err)}"


def _causes(err: BaseException) -> Iterator[BaseException]:
    """All that hang on an error, whichever way."""
    for its in (err.__cause__, err.__context__):
        if its is not None:
            yield its
            yield from _causes(its)


def test_a_search_that_was_saved_when_items_were_read_in_another_way_is_made_again(api, dataset, tmp_path):
    made, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.run(wanted)
    (stored,) = Store(tmp_path).list()
    request, answer = gzip.decompress(Store(tmp_path).get(stored.key)).splitlines()
    earlier, value = json.loads(request), json.loads(answer)
    del earlier["read_as"], value["unreadable"]  # the first form
    value["scenes"][0]["offset_dn"] = 0
    Store(tmp_path).publish(stored.key, gzip.compress(f"{json.dumps(earlier)}\n{json.dumps(value)}\n".encode()))
    again, wanted = searches(dataset, url, tmp_path)
    with pytest.raises(CurationError, match="search first"):
        again.scenes(*wanted[0])
    asked = len(made.searches)
    again.run(wanted)
    assert len(made.searches) > asked
    assert {s.offset_dn for s in again.scenes(*wanted[0])} == {1000}


def test_the_same_search_is_saved_in_the_same_bytes(api, dataset, tmp_path):
    made, url = api
    for folder in ("a", "b"):
        one, wanted = searches(dataset, url, tmp_path / folder)
        one.run(wanted)
        made.items.reverse()
        made.page = 4
    a, b = ([(s.key, Store(tmp_path / f).get(s.key)) for s in Store(tmp_path / f).list()] for f in ("a", "b"))
    assert a == b
    assert len(a) == 1


def test_a_refresh_tells_what_has_changed(api, dataset, tmp_path):
    made, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.run(wanted)
    made.items = [*made.items[2:], item("new")]
    assert one.run(wanted) == []
    assert [s.id for s in one.scenes(*wanted[0])] == NAMES
    told = one.run(wanted, refresh=True)
    assert told == [f"s2l2a summer n51e006: {t}" for t in ("+ new", "- s00", "- s01")]
    assert [s.id for s in one.scenes(*wanted[0])] == ["new", *NAMES[2:]]


@pytest.mark.parametrize(
    "change",
    [
        {"quality": {"max_scene_cloud_pct": 50.0}},
        {"sources": {"s2l2a": {"bands": ["B02"]}}},
        {"sources": {"s2l2a": {"angles": True}}},
        {"seasons": {"summer": {"end": dt.date(2021, 8, 1)}}},
    ],
)
def test_another_query_is_not_answered_from_what_is_saved(api, dataset, tmp_path, change):
    _, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.run(wanted)
    value = dataset.recipe.model_dump()
    for table, rows in change.items():
        for key, new in rows.items():
            value[table][key] = value[table][key] | new if isinstance(new, dict) else new
    other = Dataset(type(dataset.recipe).model_validate(value), dataset.specs, dataset.path)
    two, wanted = searches(other, url, tmp_path)
    with pytest.raises(CurationError, match="not searched yet, or by another query"):
        two.scenes(*wanted[0])


def test_a_changed_form_is_searched_again(api, dataset, tmp_path):
    made, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.run(wanted)
    form = dataset.specs["s2l2a"].catalogs["planetary-computer"].model_copy(update={"offset": "none"})
    changed = dataset.specs["s2l2a"].model_copy(update={"catalogs": {"planetary-computer": form}})
    two = Searches(dataset, Catalogs(resolve(url)), Store(tmp_path))
    asked = made.requests
    two.run([(changed, *wanted[0][1:])])
    assert made.requests > asked
    assert {s.offset_dn for s in two.scenes(changed, *wanted[0][1:])} == {0}


@pytest.mark.slow
def test_a_failed_search_saves_nothing(api, dataset, tmp_path):
    made, url = api
    one, wanted = searches(dataset, url, tmp_path)
    one.endpoint(one.catalogs.default)
    made.faults = ["503"] * 1000
    with pytest.raises(CurationError, match="rerun to try again"):
        one.run(wanted)
    assert list(Store(tmp_path).list()) == []


# --- ahead of the work ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_work_comes_in_order_once_its_searches_are_saved_and_few_are_searched_ahead(api, dataset, tmp_path):
    made, url = api
    one, _ = searches(dataset, url, tmp_path)
    source, season = dataset.specs["s2l2a"], dataset.recipe.season("summer").always
    cells = [SearchCell(100, n + 1) for n in range(200)]
    drawn = []

    def works():
        for n, cell in enumerate(cells):
            drawn.append(n)
            yield n, [(source, season, cell), (source, season, cells[max(n - 1, 0)])]

    for place, (n, error) in enumerate(one.ahead(works())):
        assert (n, error) == (place, None)
        one.scenes(source, season, cells[n])
        assert len(drawn) <= n + 2 * saved.AHEAD + 1
    assert len(drawn) == 200
    assert len({tuple(s["bbox"]) for s in made.searches}) == 200
    asked = made.requests
    assert [e for _, e in Searches(dataset, Catalogs(resolve(url)), Store(tmp_path)).ahead(works())] == [None] * 200
    assert made.requests == asked


@pytest.mark.slow
def test_work_whose_search_failed_is_given_with_the_cause_and_the_rest_goes_on(api, dataset, tmp_path):
    made, url = api
    one, _ = searches(dataset, url, tmp_path)
    season = dataset.recipe.season("summer").always
    made.failing = {"cop-dem-glo-30"}
    works = [(n, [(dataset.specs["dem" if n == 2 else "s2l2a"], season, CELL)]) for n in range(5)]
    found = dict(one.ahead(works))
    assert [n for n, error in found.items() if error is not None] == [2]
    assert "search of cop-dem-glo-30 in" in str(found[2])


def test_an_unreachable_catalog_ends_it_at_once(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "BACKOFF_S", 0)
    one, wanted = searches(dataset, "http://127.0.0.1:1", tmp_path)
    with pytest.raises(ConfigError, match="does not answer"):
        list(one.ahead([(0, wanted)]))


def test_what_a_process_keeps_of_searches_is_bounded_and_a_new_search_is_seen(api, dataset, tmp_path, monkeypatch):
    made, url = api
    monkeypatch.setattr(saved, "CACHED_SCENES", 35)
    kept = saved._Cache()
    monkeypatch.setattr(saved, "_cache", kept)
    one, _ = searches(dataset, url, tmp_path)
    source = dataset.specs["s2l2a"]
    wanted = [(source, dataset.recipe.season("summer").always, SearchCell(141, n)) for n in (185, 186, 186, 187)] * 3
    one.run(wanted)
    for w in wanted:
        one.scenes(*w)
        assert sum(len(its.scenes) for its in kept._loaded.values()) <= 35
    assert kept._loaded
    made.items = made.items[1:]
    one.run(wanted[1:2], refresh=True)
    assert [s.id for s in one.scenes(*wanted[1])] == NAMES[1:]


# --- a whole build from an API -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_patches_of_a_failed_search_fail_with_its_cause_and_are_built_when_the_catalog_is_back(
    world: World, built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(api, "BACKOFF_S", 0)
    afar = world.from_afar(tmp_path / "afar")
    served = Served(afar.items)
    served.failing = {"cop-dem-glo-30"}
    with serving(served.answer) as url:
        mine = Curate(afar, tmp_path / "root")
        mine_too = [*mine.arguments("build", "--season", "static"), "--catalog", url]
        assert main.main(mine_too) == 1
        assert "search of cop-dem-glo-30 in" in capsys.readouterr().err
        failed = list(Ledger.replay(mine.store, "europe", "static").outcomes())
        assert failed
        assert {o.status for o in failed} == {Status.FAILED}
        assert all("search of cop-dem-glo-30" in o.sources[SLAB].cause for o in failed)
        served.failing = set()
        assert main.main(mine_too) == 0
        after, before = (
            {o.id: o for o in Ledger.replay(its.store, "europe", "static").outcomes()} for its in (mine, built)
        )
        assert after == before
