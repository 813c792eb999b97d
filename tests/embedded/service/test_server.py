"""The server: range requests, its log, determinism, and its end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import requests

from curation import embedded
from curation.embedded.archive.archive import Archive, Key
from curation.embedded.service import items
from tests.processes import started

SMALL = (
    Key("cop-dem-glo-30", "Copernicus_DSM_COG_10_S24_00_W047_00_DEM", "data"),
    Key("esa-worldcover", "ESA_WorldCover_10m_2021_v200_S24W048", "map"),
)


def _lines(log: Path, key: Key) -> list[dict]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["path"] == f"/archive/{key.path}"]


def _href(earth, key: Key) -> str:
    return f"{earth.url.removesuffix('/stac')}/archive/{key.path}"


@pytest.mark.slow
@pytest.mark.parametrize("key", SMALL, ids=lambda k: k.collection)
def test_read_over_http_equals_the_file(earth, key):
    with rasterio.open(_href(earth, key)) as far, rasterio.open(earth.cache / "archive" / key.path) as near:
        assert far.profile == near.profile
        assert far.overviews(1)
        assert np.array_equal(far.read(1), near.read(1))


@pytest.mark.slow
def test_the_log_has_a_line_per_request(earth):
    key = SMALL[0]
    before = len(_lines(earth.log, key))
    answer = requests.get(_href(earth, key), headers={"Range": "bytes=100-299"}, timeout=30)
    assert (answer.status_code, len(answer.content)) == (206, 200)
    requests.head(_href(earth, key), timeout=30)
    part, head = _lines(earth.log, key)[before:]
    assert (part["method"], part["range"], part["status"], part["bytes"]) == ("GET", "bytes=100-299", 206, 200)
    assert (head["method"], head["range"], head["status"], head["bytes"]) == ("HEAD", None, 200, 0)


def test_what_is_not_in_the_archive_is_a_404(earth):
    assert requests.get(_href(earth, Key("cop-dem-glo-30", "nothing", "data")), timeout=30).status_code == 404
    assert requests.get(_href(earth, SMALL[0]) + ".aux.xml", timeout=30).status_code == 404


@pytest.mark.slow
def test_rendering_is_deterministic_and_happens_once(earth, tmp_path, monkeypatch):
    other = Archive(tmp_path)
    rendered = []
    render = other._render
    monkeypatch.setattr(other, "_render", lambda group: (rendered.append(group), render(group)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(other.path, [*SMALL, *reversed(SMALL)]))
    assert len(rendered) == len(SMALL)
    for key in SMALL:
        there = requests.get(_href(earth, key), timeout=60).content
        assert (tmp_path / "archive" / key.path).read_bytes() == there
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.slow
def test_items_say_what_the_files_are(earth):
    # Swaths have no grid to compare with; tests of their own look at them.
    every = [i for i in items.all_items() if "proj:epsg" in i["properties"]]
    picked = {}
    for item in every:
        for name in item["assets"]:
            picked.setdefault((item["collection"], name, item["properties"]["proj:epsg"]), (item, name))
    # One of every collection, asset and CRS whose rendering is cheap, or is done by other tests anyway.
    cheap = [
        (item, name)
        for item, name in picked.values()
        if name in ("SCL", "data", "map", "image")
        or (name, item["properties"]["proj:epsg"]) in (("label", 32723), ("vv", 32723), ("qa_pixel", 32623))
    ]
    assert {item["collection"] for item, _ in cheap} == {item["collection"] for item in every}
    for item, name in cheap:
        asset, properties = item["assets"][name], item["properties"]
        with rasterio.open(_href(earth, Key(item["collection"], item["id"], name))) as file:
            assert file.crs.to_epsg() == properties["proj:epsg"]
            assert list(file.shape) == (asset.get("proj:shape") or properties["proj:shape"])
            assert list(file.transform)[:6] == pytest.approx(
                (asset.get("proj:transform") or properties["proj:transform"])[:6]
            )


@pytest.mark.slow
def test_every_s2_grid_nests_at_60_m():
    for item in items.all_items():
        if item["collection"] == "sentinel-2-l2a":
            base = 40 if item["properties"]["proj:epsg"] >= 32700 else 0
            corners = {tuple(a["proj:transform"][k] for k in (2, 5)) for a in item["assets"].values()}
            ((x, y),) = corners
            assert (x % 60, y % 60) == (0, base)


@pytest.mark.slow
def test_the_server_ends_with_its_parents_pipe(tmp_path):
    command = [sys.executable, "-m", "curation.embedded", "--until-eof", "--cache", str(tmp_path)]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        said = json.loads(process.stdout.readline())
        assert said["pid"] == process.pid
        assert requests.get(said["url"], timeout=10).json()["type"] == "Catalog"
        process.stdin.close()
        assert process.wait(120) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(said["pid"], 0)


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(earth):
    port = int(earth.url.split(":")[2].split("/")[0])
    said = f"ended with 1 before it answered: port {port}: Address already in use: say another (--port), or 0 for a free one"
    with pytest.raises(embedded.ServerError, match=rf"{re.escape(said)}\n"), embedded.serve(earth.cache, port=port):
        pass


@pytest.mark.slow
def test_a_harder_earth_is_served_by_its_name_and_has_a_cache_of_its_own(tmp_path, monkeypatch):
    with embedded.serve(tmp_path, earth="dates") as url:
        asked = {"collections": "sentinel-2-l2a", "bbox": "6.0,51.2,6.05,51.25", "limit": 500}
        asked |= {"datetime": "2021-06-01T00:00:00Z/2021-09-01T00:00:00Z"}
        found = requests.get(f"{url}/search", params=asked, timeout=60).json()["features"]
    dates = {f["properties"]["datetime"][:10] for f in found}
    assert len(dates) >= 8
    with pytest.raises(embedded.ServerError, match="CURATION_EARTH: no Earth 'moon'"), embedded.serve(earth="moon"):
        raise AssertionError
    code = "from curation.embedded.service import server; print(server.default_cache())"
    names = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {embedded.EARTH: its},
        ).stdout.strip()
        for its in ("plain", "hard", "shifts+masks")
    ]
    assert names[1:] == [f"{names[0]}-hard", f"{names[0]}-masks+shifts"]
