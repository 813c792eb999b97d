"""Labels by season where the catalog has none: a STAC API without Dynamic World, and a file; against the run with maps."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from curation import embedded
from curation.cli import main
from curation.recipe import files
from tests.loopback import Request, serving
from tests.once import one_at_a_time
from tests.pack.labels.files import label_file, metas, vectors, written

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

REGION = "lower-rhine"


@pytest.fixture(scope="module")
def api() -> Iterator[tuple[str, list[str]]]:
    """A STAC API that has all that the embedded Earth has, but no Dynamic World; and which collections it was asked for."""
    asked: list[str] = []
    with embedded.serve() as served:
        earth = served.removesuffix("/stac")

        def answer(request: Request) -> None:
            headers = {k: v for k, v in request.headers.items() if k.lower() in ("content-type", "accept")}
            told = requests.request(
                request.command, f"{earth}{request.path}", data=request.body, headers=headers, timeout=60
            )
            value = told.json()
            if request.body:
                asked.extend(json.loads(request.body).get("collections", []))
            if "collections" in value:
                value["collections"] = [c for c in value["collections"] if c["id"] != "dynamicworld"]
            if "features" in value:
                value["features"] = [f for f in value["features"] if f["collection"] != "dynamicworld"]
            body = json.dumps(value).replace(f"{earth}/stac", f"{url}/stac").encode()
            request.send(told.status_code, body, Content_Type=told.headers["content-type"])

        with serving(answer) as url:
            yield f"{url}/stac", asked


def test_labels_by_season_are_in_every_shard_and_equal_those_of_the_run_with_maps(
    api: tuple[str, list[str]], rendering: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    url, asked = api
    recipe = (files.folder("manifests") / "ssl4eo-s12-ml" / "recipe.toml").read_text()
    small = tmp_path / "recipe.toml"
    for was, now in (
        ("count = 300_000", "count = 20_000"),  # drawing all takes most of a minute, twice
        ("samples_per_shard = 64", "samples_per_shard = 1"),  # so that there are several
    ):
        assert was in recipe
        recipe = recipe.replace(was, now)
    small.write_text(recipe)
    flags = ["--dataset", str(small), "--region", REGION, "--scheduler", "none"]
    maps = ["--root", str(tmp_path / "maps"), "--catalog", "embedded", *flags]
    with one_at_a_time(rendering):
        assert main.main(["build", *maps, "--limit", "3"]) == 0
    assert main.main(["pack", *maps]) == 0
    with_maps = tmp_path / "maps" / "ssl4eo-s12-ml" / "shards"
    file = written(tmp_path / "labels.json", label_file(with_maps))

    listed = ["--root", str(tmp_path / "listed"), "--catalog", url, *flags]
    assert main.main(["build", *listed, "--limit", "3"]) == 2
    assert "--labels" in capsys.readouterr().err
    assert main.main(["build", *listed, "--limit", "3", "--labels", str(file)]) == 0
    assert "labels.json can label up to" in capsys.readouterr().out
    assert main.main(["pack", *listed]) == 0
    assert main.main(["verify", "--dataset", str(small), "--root", str(tmp_path / "listed")]) == 0
    shards = tmp_path / "listed" / "ssl4eo-s12-ml" / "shards"
    expected = vectors(with_maps)
    assert vectors(shards) == expected
    assert sum(v is not None for v in expected.values()) >= len(expected) / 2
    assert len({s for (_, s), v in expected.items() if v is not None}) == 4
    tars = sorted(shards.rglob("*.tar"))
    assert len(tars) == len({key for key, _ in expected}) > 1
    for tar in tars:
        its = vectors(tar)
        assert its.items() <= expected.items()
        assert any(v is not None for v in its.values()), tar
    own = {
        s["labels"]["fractions"] is None for m in metas(shards).values() for s in m["seasons"].values() if s["labels"]
    }
    assert own == {True}
    assert "sentinel-2-l2a" in asked
