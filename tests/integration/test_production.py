"""A dataset made as one is made where it counts comes to what the embedded run comes to, and tells nobody's secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests

from curation.embedded.service import items as earth_items
from tests.integration import blobs, recipe
from tests.integration.blobs import SignedBlobs
from tests.integration.leaks import Secrets, files_below, leaks
from tests.integration.made import Made

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1800),
]  # of the first that asks for all of it, on a machine that does much else

RUNS = ["to_s3", "to_azure", "by_slurm", "by_gateway"]


def test_the_plain_run_has_what_the_others_are_compared_with(plain: Made):
    seasons = plain.outcomes[recipe.REGION]
    assert seasons.keys() == {"static", *recipe.SEASONS}
    assert all(counts.get("ok", 0) > 0 for counts in seasons.values())
    assert sum(split["samples"] for split in plain.index["splits"].values()) == recipe.PLACES


@pytest.mark.parametrize("run", RUNS)
def test_whoever_serves_stores_and_works_the_content_is_the_same(run: str, request: pytest.FixtureRequest):
    made: Made = request.getfixturevalue(run)
    plain: Made = request.getfixturevalue("plain")
    assert made.content == plain.content
    assert made.outcomes == plain.outcomes
    assert "all as recorded" in made.said, "what `curate verify` ends with"


def test_signatures_were_needed_given_and_refused(to_s3: Made, archive: SignedBlobs):
    assert archive.term_s == 5
    assert len(archive.signatures) >= len(blobs.PRIVATE), "those of one second are the same"
    asked = archive.counts
    for refused in ("token 429", *(f"blob {status}" for status in blobs.FAULTS.values())):
        assert asked[refused] > 0, asked
    assert asked["NoAuthenticationInformation"] == 0, "nothing was asked for without one"


def test_pgstac_answers_each_search_and_gives_fields_alone_as_it_gives_whole_items(
    to_s3: Made, catalog: str, logs: Path
):
    offered = requests.get(catalog, timeout=60).json()["conformsTo"]
    assert any(each.endswith("#fields") for each in offered)
    assert "whole items are read" not in to_s3.said, "as where what it trims comes to something else"
    asked = (logs / "stac-api.log").read_text()
    assert '"POST /search HTTP/1.1" 200' in asked
    assert '" 500' not in asked


def test_pgstac_compares_cloud_cover_as_a_number(catalog: str):
    asked = {"collections": ["sentinel-2-l2a"], "limit": 1000, "fields": {"include": ["id"]}}
    told = requests.post(f"{catalog}/search", json=asked | {"query": {"eo:cloud_cover": {"lt": 20}}}, timeout=60).json()
    items = [item for item in earth_items.all_items() if item["collection"] == "sentinel-2-l2a"]
    expected = {item["id"] for item in items if item["properties"]["eo:cloud_cover"] < 20}
    assert 0 < len(expected) < len(items)
    assert {item["id"] for item in told["features"]} == expected


def test_nothing_that_was_written_or_logged_tells_what_lets_anybody_in(
    plain: Made, known: Secrets, logs: Path, request: pytest.FixtureRequest
):
    looked_at, runs = {**plain.objects}, ["plain"]
    for run in RUNS:
        try:
            looked_at |= request.getfixturevalue(run).objects
            runs.append(run)
        except pytest.skip.Exception as skipped:  # told by the tests of that run
            print(f"not looked at: {run}: {skipped}")
    looked_at |= files_below(logs)
    if len(runs) == 1:
        pytest.skip("NOT TESTED: whether anything tells a secret: nothing was made with one (see the others)")
    assert known.signatures
    assert sum(map(len, looked_at.values())) > 1_000_000
    assert leaks(looked_at, known) == []


def test_each_secret_would_be_found_wherever_it_stood_in_a_dataset(plain: Made, archive: SignedBlobs, known: Secrets):
    token, _ = archive.token(*blobs.PRIVATE["sentinel-2-l2a"])
    signature = re.search("sig=([^&]+)", token)
    assert signature
    names = [n for n in plain.objects if n.endswith((".json", ".json.gz", ".tar", ".parquet", ".arrow"))]
    assert {n.rpartition(".")[2] for n in names} >= {"json", "gz", "tar", "parquet", "arrow"}
    planted = {f"planted {n}": f"x {s} y".encode() for n, s in enumerate([token, signature[1], *known.words.values()])}
    found = leaks({**plain.objects, **planted}, known)
    assert {line.partition(":")[0] for line in found} == planted.keys()
