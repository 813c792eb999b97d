import json
import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.api import folder
from curation.cli import main, verbs
from curation.cli.flags import VERBS
from curation.errors.words import shortened
from curation.places.regions import from_bbox
from curation.scenes import api
from tests.run import Curate
from tests.world import World


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that an error is."""
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("curate:")]
    assert len(lines) == 1
    return lines[0]


@given(st.text("ab .", max_size=30), st.integers(2, 30))
def test_what_is_shortened_is_cut_between_words(text: str, limit: int):
    short = shortened(text, limit)
    if len(text) <= limit:
        assert short == text
        return
    kept = short.removesuffix(" …")
    assert text.startswith(kept)
    assert len(short) <= limit + 1
    if " " in text[:limit].strip():
        assert text[len(kept)] == " "


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for word in ("examples:", "exit codes:", *VERBS):
        assert word in text


def test_a_call_without_a_verb_builds(capsys):
    with pytest.raises(SystemExit):
        main.main(["--region", "x", "--help"])
    assert "usage: curate build" in capsys.readouterr().out


def test_an_unknown_region_names_near_ones(built: Curate, capsys):
    assert built("build", "--region", "lower-rhyne") == 2
    assert "did you mean lower-rhine" in said(capsys)


def test_a_season_outside_the_recipe_names_those_inside(built: Curate, capsys):
    assert built("build", "--season", "monsoon") == 2
    assert re.search(r"'monsoon'.*summer, autumn", said(capsys))


@pytest.mark.parametrize(
    ("flags", "meant"),
    [
        (["--season", "sumer"], "did you mean summer? expected one of summer, autumn, static or all"),
        (["--catalog", "embeded"], "did you mean embedded?"),
        (["--dataset", "ssl4eo-s12-m"], "did you mean ssl4eo-s12-ml? known: "),
    ],
)
def test_what_is_misspelt_is_told_what_was_meant(built: Curate, capsys, flags: list[str], meant: str):
    assert built("build", *flags) == 2
    assert meant in said(capsys)


def test_a_region_at_89_north_is_refused_with_the_reason(built: Curate, capsys):
    assert built("build", "--region", "10,88.5,20,89.5") == 2
    assert "UTM" in said(capsys)


def test_a_region_across_the_antimeridian_is_understood(built: Curate, capsys):
    # Nothing lies there in this world: the region is read, and found empty; what it was taken for is said first.
    assert built("build", "--region", "179,-18,-179,-16") == 2
    err = capsys.readouterr().err
    assert "holds no location" in err
    assert "west 179 is above east -179, so it runs across the antimeridian, over 2° of longitude" in err
    assert "across the antimeridian" not in from_bbox("5,50,8,52").note


def test_a_bbox_whose_west_and_east_were_swapped_is_told_in_the_summary(built: Curate, tmp_path, capsys):
    # It is legal, and spans the rest of the globe: Europe's places are not in it, those of the whole world would be.
    assert built.copy(tmp_path)("locate", "--region", "-10,-60,-20,60") == 0
    out = capsys.readouterr().out
    assert "runs across the antimeridian, over 350° of longitude; the 10° between the two are -20,-60,-10,60" in out


@pytest.mark.slow
def test_a_region_without_scenes_ends_with_every_patch_absent(built: Curate, tmp_path, world, capsys):
    # An empty search is an answer: each patch is recorded as absent, none is invented, and the summary says so.
    (tmp_path / "empty.json").write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [_far(f) for f in json.loads(world.catalog.read_text())["features"]],
            }
        )
    )
    code = main.main(
        [
            "--dataset",
            str(world.recipe),
            "--root",
            str(tmp_path / "r"),
            "--catalog",
            str(tmp_path / "empty.json"),
            "--scheduler",
            "none",
            "--season",
            "summer",
        ]
    )
    out = capsys.readouterr().out
    assert code == 0
    assert "europe/summer: no_scene:s2l2a 25" in out


def _far(item: dict) -> dict:
    item["geometry"] = {"type": "Polygon", "coordinates": [[[100, 0], [101, 0], [101, 1], [100, 1], [100, 0]]]}
    return item


def test_an_unreachable_catalog(built: Curate, tmp_path, capsys, world, monkeypatch):
    monkeypatch.setattr(api, "BACKOFF_S", 0.01)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ["--dataset", str(world.recipe), "--root", str(tmp_path), "--scheduler", "none"]
    assert main.main([*flags, "--catalog", f"http://127.0.0.1:{port}/stac"]) == 2
    assert f"127.0.0.1:{port}" in said(capsys)

    # A dry run finds it, too.
    assert main.main([*flags, "--catalog", f"http://127.0.0.1:{port}/stac", "--dry-run"]) == 2
    line = said(capsys)
    assert f"127.0.0.1:{port}" in line
    assert re.search(r"\((\w+): .*\); check the address and the network$", line)
    assert not list(tmp_path.iterdir())


def test_a_catalog_file_that_cannot_be_parsed_is_found_by_a_dry_run(world: World, tmp_path: Path, capsys):
    broken = tmp_path / "broken.json"
    broken.write_bytes(world.catalog.read_bytes()[:-100])
    flags = ["--dataset", str(world.recipe), "--root", str(tmp_path / "r"), "--dry-run"]
    assert main.main([*flags, "--catalog", str(broken)]) == 2
    assert f"catalog {broken}: expected a STAC ItemCollection" in said(capsys)
    assert not (tmp_path / "r").exists()


def test_labels_of_other_places_stop_the_build_until_allowed(world: World, tmp_path: Path, capsys):
    # The published file is of places of its own: the labels of a season come from the file alone, so all would be unknown.
    file = tmp_path / "labels.json"
    file.write_text('{"0000002": {"20200718T102559_20200718T103605_T31TFJ": ["water"]}}')
    flags = ["--dataset", str(world.recipe), "--root", str(tmp_path / "r"), "--catalog", str(world.catalog)]
    flags += ["--scheduler", "none", "--limit", "1", "--season", "summer"]
    for more in (["--labels", str(file)], []):
        assert main.main(["build", *flags, *more]) == 2
        assert "can label up to 0 of" in (err := said(capsys))
        assert "All labels from dynamicworld would be unknown: give a file of these places" in err
        kept = (tmp_path / "r" / "tiny" / "labels").exists()
        assert kept == (not more)
        if more:  # what is allowed to be of other places is the dataset's, and stops each build that does not allow it
            assert not (tmp_path / "r" / "tiny" / "cubes").exists()
            assert main.main(["build", *flags, *more, "--allow-unknown-labels"]) == 0


@pytest.mark.parametrize(
    ("name", "told"), [("nix.json", "no such file or folder"), ("notes.md", "its name ends in '.md'")]
)
@pytest.mark.parametrize("command", [("build",), ("build", "--dry-run"), ("labels", "import")])
def test_a_wrong_path_of_labels_is_told_before_anything_is_asked_or_drawn(
    world: World, tmp_path: Path, capsys, monkeypatch, command, name, told
):
    (tmp_path / "notes.md").write_text("x")
    monkeypatch.setattr(folder.selection, "locations", None)
    monkeypatch.setattr(folder.DatasetFolder, "_served", None)
    flags = ["--dataset", str(world.recipe), "--root", str(tmp_path / "r"), "--catalog", str(world.catalog)]
    labels = [str(tmp_path / name)] if command[0] == "labels" else ["--labels", str(tmp_path / name)]
    assert main.main([*command, *flags, *labels]) == 2
    assert f"labels {tmp_path / name}: {told}" in (err := said(capsys))
    assert "expected a .json, .csv or .parquet file that lists labels, or a folder of class maps" in err
    assert not (tmp_path / "r").exists()


def test_a_dry_run_says_that_labels_cannot_be_given(world: World, tmp_path: Path, capsys):
    items = json.loads(world.catalog.read_text())
    items["features"] = [f for f in items["features"] if f["collection"] != "dynamicworld"]
    catalog = tmp_path / "without.json"
    catalog.write_text(json.dumps(items))
    flags = ["--dataset", str(world.recipe), "--root", str(tmp_path / "r"), "--catalog", str(catalog), "--dry-run"]
    assert main.main(flags) == 0
    out, err = capsys.readouterr()
    assert "europe/summer" in out
    assert "a build wants --allow-unknown-labels" in out
    assert f"labels: catalog {catalog} has no " in err
    assert main.main([*flags, "--allow-unknown-labels"]) == 0
    assert "a build wants" not in capsys.readouterr().out


@pytest.mark.parametrize(("typo", "meant"), [("verfy", "verify"), ("pakc", "pack"), ("shwo", "show")])
def test_a_misspelt_verb_is_told_what_was_meant(capsys, typo: str, meant: str):
    assert main.main([typo, "--root", "x"]) == 2
    assert f"{typo!r}: no such verb; did you mean {meant}? known: build, locate, " in said(capsys)


@pytest.mark.parametrize(
    "flags",
    [
        ["build", "--dry-run"],
        ["build", "--region", "europe+eurpoe"],
        ["build", "--season", "sumer"],
        ["build", "--scheduler", "kubernetes"],
        ["locate", "--region", "eurpoe"],
        ["pack"],
        ["verify"],
        ["report"],
        ["show", "europe/summer/x"],
    ],
)
def test_nothing_is_made_where_nothing_is_written(world: World, tmp_path: Path, flags: list[str]):
    assert Curate(world, tmp_path / "shards")(*flags) == (0 if "--dry-run" in flags else 2)
    assert not list(tmp_path.iterdir())


def test_a_region_misspelt_in_the_recipe_is_found_before_any_work(world: World, tmp_path: Path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(world.recipe.read_text().replace('["europe"]', '["europe", "aisa"]'))
    flags = ["--dataset", str(recipe), "--root", str(tmp_path / "r"), "--catalog", str(world.catalog)]
    assert main.main([*flags, "--region", "europe", "--dry-run"]) == 2
    assert f"{recipe}: [places] regions: region 'aisa': no such region; did you mean asia" in said(capsys)


def test_a_catalog_that_is_nothing(built: Curate, tmp_path, capsys, world):
    assert main.main(["--dataset", str(world.recipe), "--root", str(tmp_path), "--catalog", "nowhere"]) == 2
    assert "embedded" in said(capsys)


def test_a_typo_in_a_recipe_names_file_key_and_what_is_allowed(world, tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(world.recipe.read_text().replace("max_gap_days", "max_gab_days"))
    assert main.main(["--dataset", str(recipe), "--root", str(tmp_path), "--catalog", str(world.catalog)]) == 2
    line = said(capsys)
    assert str(recipe) in line
    assert "max_gab_days" in line
    assert "max_gap_days" in line


def test_an_unknown_dataset_names_those_there_are(capsys):
    assert main.main(["--dataset", "nonesuch", "--catalog", "embedded"]) == 2
    assert "ssl4eo-s12-ml" in said(capsys)


def test_a_bad_scheduler(built: Curate, capsys):
    assert built("build", "--scheduler", "kubernetes") == 2
    assert "tcp://" in said(capsys)


@pytest.mark.slow
def test_labels_that_cannot_be_given_stop_the_build_until_allowed(world, tmp_path, capsys):
    afar = world.from_afar(tmp_path / "afar")
    items = json.loads(afar.catalog.read_text())
    items["features"] = [f for f in items["features"] if f["collection"] != "dynamicworld"]
    catalog = tmp_path / "without.json"
    catalog.write_text(json.dumps(items))
    flags = ["--dataset", str(afar.recipe), "--root", str(tmp_path / "r"), "--catalog", str(catalog)]
    flags += ["--scheduler", "none", "--limit", "2"]
    assert main.main(flags) == 2
    assert not (tmp_path / "r" / "tiny" / "cubes").exists()
    assert "--allow-unknown-labels" in capsys.readouterr().err
    assert main.main([*flags, "--allow-unknown-labels"]) == 0


def test_a_dry_run_writes_no_cube_and_tells_what_it_would_take(world, tmp_path, capsys):
    curate = Curate(world, tmp_path)
    assert curate("build", "--dry-run") == 0
    out = capsys.readouterr().out
    assert re.search(r"europe/summer\s+25\s+25", out)
    assert not curate.folder.exists()
    # The same where the draw is kept already.
    assert curate("locate") == 0
    capsys.readouterr()
    assert curate("build", "--dry-run") == 0
    assert capsys.readouterr().out == out


def test_locate_counts_places(world, tmp_path, capsys):
    assert Curate(world, tmp_path)("locate") == 0
    assert "europe: 25 locations (train 25)" in capsys.readouterr().out


def test_init_writes_a_recipe_that_loads(tmp_path, capsys):
    from curation.recipe.dataset import load_dataset

    folder = tmp_path / "my-set"
    assert main.main(["init", str(folder)]) == 0
    assert load_dataset(str(folder)).name == "my-set"
    assert main.main(["init", str(folder)]) == 2
    assert "is there already" in said(capsys)


def test_init_refuses_a_name_that_no_dataset_may_have(tmp_path, capsys):
    assert main.main(["init", str(tmp_path / "My Set")]) == 2
    assert not (tmp_path / "My Set").exists()


@pytest.mark.slow
def test_refresh_search_tells_what_changed(world, tmp_path, capsys):
    import shutil

    shutil.copytree(world.folder, tmp_path / "own")
    flags = ["--dataset", str(tmp_path / "own" / "recipe.toml"), "--root", str(tmp_path / "r"), "--scheduler", "none"]
    flags += ["--season", "static"]
    # The catalog is known by its content when it is a file, so an API stands for it here: see test_search for the rest.
    assert main.main([*flags, "--catalog", str(Path(tmp_path / "own" / "items.json"))]) == 0
    assert main.main([*flags, "--catalog", str(Path(tmp_path / "own" / "items.json")), "--refresh-search"]) == 0
    assert "refreshed" not in capsys.readouterr().err


def test_what_a_verb_does_not_know_it_says_itself_with_its_own_usage(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main.main(["distance", "train", "val", "--root", "here"])
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert lines[0].startswith("usage: curate distance ")
    assert lines[-1].startswith("curate distance: error: --root here: no argument of this verb")


@pytest.mark.parametrize("root", ["/proc/nowhere", "a-file"])
def test_a_root_that_cannot_be_written_is_a_usage_error_before_any_work(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], root: str
):
    (tmp_path / "a-file").write_text("")
    run = Curate(world, tmp_path / root)
    assert run() == 2
    assert said(capsys).startswith(f"curate: --root {tmp_path / root}: cannot be written: ")


@pytest.mark.parametrize(
    ("told", "want"),
    [
        ([], (None, {})),
        (["embedded"], ("embedded", {})),
        (["cdse", "s3olci=embedded", "embedded"], ("embedded", {"s3olci": "embedded"})),
        (["s5p-*=https://stac.example/v1?key=a=b"], (None, {"s5p-*": "https://stac.example/v1?key=a=b"})),
        (["https://stac.example/?key=a"], ("https://stac.example/?key=a", {})),
        (["./a=b.json"], ("./a=b.json", {})),
    ],
)
def test_a_catalog_is_for_all_or_for_one_source(told, want):
    assert verbs._catalogs(told) == want


def test_a_source_without_a_catalog_is_told(built: Curate, capsys):
    assert built("build", "--catalog", "dem=") == 2
    assert "--catalog dem=: no catalog after '='" in said(capsys)
    assert built("build", "--catalog", "demm=embedded") == 2
    assert "no source 'demm'; did you mean dem" in said(capsys)
